"""The assembled program: requests in, responses out, with or without a server."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sagemaker_inference import _budget
from sagemaker_inference._aws import mms_objects
from sagemaker_inference._aws.default_predictor import describe
from sagemaker_inference._aws.default_predictor import predict as default_predict
from sagemaker_inference._errors import (
    NotAcceptableError,
    UnsupportedFormatError,
)
from sagemaker_inference._http import content_coding, forms
from sagemaker_inference._inference import request_files, tracing
from sagemaker_inference._inference.batch_streams import Share
from sagemaker_inference._inference.batching import Failed
from sagemaker_inference._inference.columns import explained
from sagemaker_inference._inference.failures import (
    Failure,
    Undecided,
    failure_response,
    must_pass,
)
from sagemaker_inference._inference.form_fields import decode_fields, decode_parts
from sagemaker_inference._inference.lifecycle import Lifecycle, import_common_codecs
from sagemaker_inference._inference.replies import built_in_body, finished, reply
from sagemaker_inference._inference.streams import is_iterator, open_stream
from sagemaker_inference._log import current_request, get_logger
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sagemaker_inference._budget import Budget
    from sagemaker_inference._http.context import Context
    from sagemaker_inference._http.messages import Part, Request, Response
    from sagemaker_inference._inference.batch_transform import BatchTransform
    from sagemaker_inference._inference.batching import Batcher
    from sagemaker_inference._inference.decoding import Decoders, Decoding
    from sagemaker_inference._inference.encoding import Encoders, Encoding
    from sagemaker_inference._inference.request_files import RequestFiles
    from sagemaker_inference._inference.sessions import Sessions
    from sagemaker_inference._inference.sockets import Sockets
    from sagemaker_inference._inference.stream_formats import StreamFormat
    from sagemaker_inference._os.spool import Spool
    from sagemaker_inference._program.concurrency import Concurrency
    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body

_T = TypeVar("_T")

logger = get_logger()

# No plain body of this size costs much, and its codecs have limits of their own.
_SMALL: Final = 1024


class Job:
    """A request in progress.

    Attributes:
        handler: the handler that is running, which error messages name.
        body: the body without its content codings; None before it is unpacked.
        keeps_failure: whether a failure is kept, since parts of the request are tried then.
        files: its files, where the program asks for some; else None.
        budget: what the request may cost; None for a small one, whose codecs have their own.
        times: when the request arrived and when each step ended.
        awaits: whether what is running may be cancelled, also where no handler is async.
    """

    __slots__ = (
        "awaits",
        "body",
        "budget",
        "context",
        "data",
        "encoding",
        "files",
        "handler",
        "keeps_failure",
        "request",
        "response",
        "times",
    )

    encoding: Encoding  # set by the first step, or the request has failed

    def __init__(self, request: Request, context: Context, *, keeps_failure: bool = False) -> None:
        self.request = request
        self.body: Body | None = None
        self.keeps_failure = keeps_failure
        self.context = context
        self.data: Any = None
        self.handler: Handler | None = None
        self.budget: Budget | None = None
        self.files: RequestFiles | None = None
        self.response: Response | None = None
        self.times = [perf_counter()]
        self.awaits = False

    def unpacked_body(self) -> Body:
        """The body without its content codings; begins the budget of the request."""
        request = self.request
        codings = request.headers.find("content-encoding")
        size = len(request.body)
        if size > _SMALL or codings:
            self.budget = _budget.begin(size)
        self.body = content_coding.unpack(request.body, codings) if codings else request.body
        return self.body

    async def read(self, decoding: Decoding, body: Body, content_type: str) -> Any:
        """What a decoder makes of the body, or of a part of it."""
        if decoding.handler is None:
            return decoding.read(body, content_type)
        self.handler = decoding.handler
        data = decoding.read(body, content_type, self.context)
        return await data if decoding.is_async else data

    def divide_budget(self, parts: Sequence[Part]) -> None:
        """Have the parts of a form share the budget of the request."""
        if self.budget is None:
            self.budget = _budget.begin(sum(len(part.value) for part in parts))
        self.budget.is_divided = True

    def fail(self, error: BaseException) -> None:
        """Set the response to that of an error, unless it cancels the request."""
        is_async = self.handler is not None and self.handler.is_async
        if must_pass(error, is_async=is_async or self.awaits):
            raise error
        if self.keeps_failure:
            failure = Failure(error, self.handler)
            self.response = Undecided(failure, self.body, self.context.response_headers)
            return
        headers = self.context.response_headers
        self.response = failure_response(self.request, error, self.handler, headers)


class InferenceHandler(Lifecycle):
    """An assembled program: it decodes, predicts and encodes. `assemble` creates it.

    >>> import asyncio
    >>> from sagemaker_inference import Registry, Request, assemble
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda model_dir: 2)
    >>> predict = registry.predictor(lambda data, model: data * model)
    >>> handler = assemble(registry)
    >>> handler.load("/opt/ml/model")
    >>> request = Request.from_body(b"[1, 2]", "application/json")
    >>> [response] = asyncio.run(handler.answer([request]))
    >>> response.status, bytes(response.body)
    (200, b'[2,4]')
    >>> handler.close()

    Attributes:
        health_check: the program's health check, with its interval.
        model_loader, predictor, transformer, before_load, warmup, on_shutdown: the handlers by
            role; at most one of predictor and transformer is not None.
        decoders, encoders: the readers of request bodies and the writers of response bodies.
        concurrency: how many requests it handles at the same time, and how.
        model: the return value of the model loader.
        model_dir, gpu_id, model_name: the arguments of `load`.
        on_warmup: called when the model is loaded and the warmup begins.
        load_context: the context of the load; its attributes are there at each request.
    """

    def __init__(  # noqa: PLR0913 - the parts of a program
        self,
        *,
        model_loader: Handler,
        predictor: Handler | None,
        transformer: Handler | None,
        transformer_body: Callable[[Body, str], Any],
        before_load: Handler | None,
        warmup: Handler | None,
        health_check: Registration | None,
        on_shutdown: Handler | None,
        decoders: Decoders,
        encoders: Encoders,
        batcher: Batcher | None,
        batch_transform: BatchTransform | None,
        concurrency: Concurrency,
        sessions: Sessions | None = None,
        sockets: Sequence[Registration] = (),
        folders: Spool | None = None,
    ) -> None:
        super().__init__(
            model_loader=model_loader,
            before_load=before_load,
            warmup=warmup,
            health_check=health_check,
            on_shutdown=on_shutdown,
            batcher=batcher,
            folders=folders,
            sessions=sessions,
        )
        self.predictor = predictor
        self.transformer = transformer
        self.decoders = decoders
        self.encoders = encoders
        self.concurrency = concurrency
        # The bidirectional handlers, if there are any.
        self.sockets: Sockets | None = None
        self._transformer_body = transformer_body
        self._keeps_failures = batch_transform is not None and batch_transform.has_placeholders
        if batch_transform is not None:
            self.answer = batch_transform.around(self.answer)  # type: ignore[assignment, method-assign]
        if sockets:
            # Most programs have none, and need no asyncio.
            from sagemaker_inference._inference.sockets import Sockets

            self.sockets = Sockets(self, sockets)
            self.answer = self.sockets.around(self.answer, mms_objects.new_metrics)  # type: ignore[assignment, method-assign]
        # Around all: whatever a request asks for, it may be one of a session.
        if sessions is not None:
            self.answer = sessions.around(self.answer)  # type: ignore[assignment, method-assign]

    @property
    def readable(self) -> Sequence[str]:
        """Content types that can be read; empty if a transformer decides."""
        return () if self.transformer else self.decoders.readable

    @property
    def reads_rows(self) -> bool:
        """Whether a body may hold several records, as far as that can be known.

        Yes where built-in formats read rows, and for script functions, which AWS's toolkit has
        given many records ever since. A decoder of such a format, or a transformer, may read one.
        """
        return not self.transformer and self.decoders.reads_rows

    @property
    def default_predictor(self) -> str:
        """In words, what predicts with the loaded model where the program has no predictor."""
        is_default = self.predictor is not None and self.predictor.function is default_predict
        return describe(self.model) if is_default else ""

    @property
    def writable(self) -> Sequence[str]:
        """Content types that can be written; empty if a transformer decides."""
        return () if self.transformer else self.encoders.writable

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths whose requests it answers."""
        return (INVOCATIONS,)

    def at(self, _path: str, /) -> InferenceHandler:
        """The handler of a path."""
        return self

    def prepare_formats(self) -> None:
        """Import what the first requests would otherwise wait for."""
        if self.transformer is None:
            import_common_codecs()
        main = self.predictor or self.transformer
        if main is not None and (main.yields or main.yields_async):
            self.encoders.prepare_stream()

    def _before_requests(self) -> None:
        self.prepare_formats()
        if (provider := tracing.configured_provider()) is not None:
            tracing.trace(self, provider)

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Answer the requests, in order; each failure affects only its request.

        The coroutine awaits nothing unless a handler is async, so that `run_without_loop` can run
        it.

        Args:
            requests: one, or as many as ``concurrency.max_batch_size`` for a batch.
        """
        load_context, keeps_failure = self.load_context, self._keeps_failures
        jobs = [
            Job(
                request,
                load_context.for_request(request, mms_objects.new_metrics),
                keeps_failure=keeps_failure,
            )
            for request in requests
        ]
        are_several = len(jobs) != 1
        before = current_request.set("" if are_several else requests[0].id)
        try:
            if self.transformer is not None:
                for job in jobs:
                    if are_several:
                        current_request.set(job.request.id)
                    await self._transform(job, self.transformer)
            else:
                for job in jobs:
                    if are_several:
                        current_request.set(job.request.id)
                    await self._decode(job)
                readable = [job for job in jobs if job.response is None]
                if self.predictor is not None and readable:
                    await self._predict(readable, self.predictor, are_several=are_several)
                for job in jobs:
                    if job.response is None:
                        if are_several:
                            current_request.set(job.request.id)
                        await self._encode(job)
        finally:
            current_request.reset(before)
            request_files.close(jobs)
        return [finished(job) for job in jobs]

    async def _transform(self, job: Job, transformer: Handler) -> None:
        request = job.request
        job.handler = transformer
        accept = self.encoders.preferred(request.accept)
        try:
            if self._folders is not None:
                job.files = request_files.begin(request, self._folders)
            unpacked = job.unpacked_body()
            forms.try_parse_fields(request, unpacked)
            body = self._transformer_body(unpacked, request.content_type)
            job.times.append(perf_counter())
            result = transformer.call(self.model, body, request.content_type, accept, job.context)
            if transformer.is_async:
                result = await result
            job.times.append(perf_counter())
            items, returned_type = result if isinstance(result, tuple) else (result, "")
            if is_iterator(items):
                find = self.encoders.for_transformer_stream
                choose = partial(find, request.accept, returned_type)
                job.response = await self._open(job, items, choose)
            else:
                job.response = reply(request, job.context, built_in_body(result, accept), accept)
        except UnsupportedFormatError as error:
            # AWS has one class for 406 and 415; its content type says which of them is meant.
            is_response_type = error.content_type == accept
            job.fail(NotAcceptableError(error.message) if is_response_type else error)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            job.fail(error)
        finally:
            if job.budget is not None:
                _budget.end()
            if job.files is not None:
                request_files.end()

    async def _decode(self, job: Job) -> None:
        request, headers = job.request, job.request.headers
        try:
            # Before decoding: a request whose response cannot be written costs no prediction.
            job.encoding = self.encoders.for_accept(headers.accept)
            if self._folders is not None:
                job.files = request_files.begin(request, self._folders)
            body, content_type = job.unpacked_body(), headers.content_type
            if request.fields is not None or (request.parameters and not len(body)):
                await decode_parts(job, self.decoders, body, content_type)
            else:
                decoding = self.decoders.for_content_type(content_type)
                if decoding.is_form:
                    forms.parse_fields(request, body)
                    await decode_fields(job, self.decoders)
                else:
                    job.data = await job.read(decoding, body, content_type)
        except BaseException as error:  # noqa: BLE001 - as above
            job.fail(error)
        finally:
            if job.budget is not None:
                _budget.end()
            if job.files is not None:
                request_files.end()
        job.handler = None
        job.times.append(perf_counter())

    async def _predict(self, jobs: list[Job], predictor: Handler, *, are_several: bool) -> None:
        if self._batcher is None:
            for job in jobs:
                job.handler = predictor
                if are_several:
                    current_request.set(job.request.id)
                try:
                    data = predictor.call(job.data, self.model, job.context)
                    job.data = await data if predictor.is_async else data
                except BaseException as error:  # noqa: BLE001 - as above
                    job.fail(explained(error, job.data, self.model))
        else:
            contexts = [job.context for job in jobs]
            if are_several:
                current_request.set(",".join(job.request.id for job in jobs))
            inputs = [job.data for job in jobs]
            results = await self._batcher.predict(inputs, self.model, contexts)
            for job, data, result in zip(jobs, inputs, results, strict=True):
                job.handler, job.data = predictor, result
                if isinstance(result, Failed):
                    if are_several:
                        current_request.set(job.request.id)
                    job.fail(explained(result.error, data, self.model))
        now = perf_counter()
        for job in jobs:
            job.times.append(now)

    async def _encode(self, job: Job) -> None:
        try:
            if is_iterator(job.data):
                choose = partial(self.encoders.for_stream, job.request.accept)
                job.response = await self._open(job, job.data, choose)
                return
            encoding = job.encoding.for_prediction(job.data)
            job.handler = encoding.handler
            content_type = encoding.content_type
            if encoding.handler is None:
                result = encoding.write(job.data, content_type)
                if encoding.text_type and not isinstance(job.data, (bytes, bytearray, memoryview)):
                    content_type = encoding.text_type
            else:
                result = encoding.write(job.data, encoding.content_type, job.context)
                if encoding.is_async:
                    result = await result
            job.response = reply(job.request, job.context, result, content_type)
        except UnsupportedFormatError as error:
            job.fail(NotAcceptableError(error.message))
        except BaseException as error:  # noqa: BLE001 - as above
            job.fail(error)

    async def _open(self, job: Job, items: Any, choose: Callable[[], StreamFormat]) -> Response:
        in_loop = self.concurrency.is_async
        in_batch = self._batcher is not None and not isinstance(items, Share)
        return await open_stream(job, items, choose, in_loop=in_loop, in_batch=in_batch)


def run_without_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits, without the cost of an event loop.

    Raises:
        RuntimeError: it waited.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    message = "a handler that is not async awaited something"
    raise RuntimeError(message)
