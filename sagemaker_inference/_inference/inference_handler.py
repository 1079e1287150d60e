"""The path of a request: decoder, predictor, encoder; and what becomes of its failures."""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._aws import mms_objects, script_functions
from sagemaker_inference._errors import (
    BadRequestError,
    BaseInferenceToolkitError,
    EncodeError,
    ErrorCode,
    InferenceError,
    NotAcceptableError,
    OutOfMemoryError,
    PredictionError,
    UnsupportedFormatError,
)
from sagemaker_inference._http import content_coding, forms
from sagemaker_inference._http.messages import (
    Context,
    Response,
    ascii_line,
    error_response,
    error_status,
    standard_phrase,
)
from sagemaker_inference._inference import assembly, collation
from sagemaker_inference._log import get_logger, users_exc_info
from sagemaker_inference.codecs import form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._inference.assembly import Encoding, InferenceHandler
    from sagemaker_inference._program.registry import Registration
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body

_OK: Final = int(HTTPStatus.OK)
# Unexpected exceptions of handlers, by role.
_FAILED: Final = {
    "decoder": ErrorCode.DECODER_FAILED,
    "predictor": ErrorCode.PREDICTION_FAILED,
    "encoder": ErrorCode.ENCODER_FAILED,
    "transformer": ErrorCode.TRANSFORMER_FAILED,
}

logger = get_logger()


class _Job:
    """One request on its way through."""

    __slots__ = ("context", "data", "encoding", "own", "request", "response", "times")

    encoding: Encoding  # there from the first step on; without one the request has failed

    def __init__(self, request: Request, context: Context) -> None:
        self.request = request
        self.context = context
        self.data: Any = None
        self.own: Handler | None = None  # the decoder of the program's that reads, while it does
        self.response: Response | None = None
        self.times = [perf_counter()]


class Pipeline:
    """A loaded program: requests in, responses out.

    Args:
        handler: the assembled program.
        model_dir: where its model is.
        gpu_id: the GPU of this process, or None.
    """

    def __init__(
        self, handler: InferenceHandler, model_dir: str, gpu_id: int | None = None
    ) -> None:
        self.handler = handler
        self.model_dir = model_dir
        self.gpu_id = gpu_id
        self.model: Any = None
        self.plan = handler.plan
        # What a transformer reads and writes is its own affair, and known to nobody else.
        self.readable = () if handler.transformer else handler.readable
        self.writable = () if handler.transformer else handler.writable

    def load(self) -> None:
        """Run before_load, the model loader and the warm-up. What they raise passes through."""
        handler, context = self.handler, Context(self.model_dir, self.gpu_id)
        if handler.before_load:
            handler.before_load.call(self.model_dir, context)
        self.model = handler.model_loader.call(self.model_dir, context)
        if handler.transformer is None:
            _import_common_codecs()
        if handler.warmup:
            handler.warmup.call(self.model_dir, self.model, context)

    def shut_down(self) -> None:
        """Run the shut-down hook; what it raises is logged, since nobody is left to tell."""
        if self.handler.on_shutdown is None:
            return
        try:
            self.handler.on_shutdown.call(self.model, Context(self.model_dir, self.gpu_id))
        except Exception:
            logger.exception("on_shutdown failed: %s", self.handler.on_shutdown)

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Answer each request, in order. A request's failure is its own.

        Nothing here waits unless a handler of the program's is async, so that
        `service.run` can drive it without a loop.
        """
        jobs = [
            _Job(request, Context(self.model_dir, self.gpu_id, request)) for request in requests
        ]
        if self.handler.transformer is not None:
            for job in jobs:
                await self._transform(job, self.handler.transformer)
        else:
            for job in jobs:
                await self._decode(job)
            await self._predict([job for job in jobs if job.response is None])
            for job in jobs:
                if job.response is None:
                    await self._encode(job)
        return [_finished(job) for job in jobs]

    async def _transform(self, job: _Job, registration: Registration) -> None:
        request, handler = job.request, registration.handler
        content_type: str | None = request.content_type
        told = accept = self.handler.accepted(request.accept)
        if registration.is_script:
            told = script_functions.accept(request.accept, self.handler.default_accept)
            accept = script_functions.response_type(told)
            content_type = script_functions.content_type(request.content_type)
        try:
            whole = _unpacked(request)
            forms.show_fields(request, whole)
            body = assembly.body_converter(registration)(whole or b"", request.content_type)
            job.times.append(perf_counter())
            result = handler.call(self.model, body, content_type, told, job.context)
            if handler.is_async:
                result = await result
            job.times.append(perf_counter())
            if not isinstance(result, (bytes, bytearray, memoryview, str, tuple)):
                result = _built_in(result, accept)
            _respond(job, result, accept, is_script=registration.is_script)
        except UnsupportedFormatError as error:
            # AWS's one class for both ends of the path; it knows which type was meant.
            _fail(job, _not_acceptable(error) if error.content_type == told else error, handler)
        except Exception as error:  # noqa: BLE001 - whatever user code raises is this request's
            _fail(job, error, handler)

    async def _decode(self, job: _Job) -> None:
        request = job.request
        try:
            # Before the work, not after: a client that can't be answered costs no prediction.
            job.encoding = self.handler.encoding(request.accept)
            body = _unpacked(request)
            if body is None or self._is_in_parts(request, body):
                job.data = self.handler.converted_fields(await self._fields(job))
            else:
                decoding = self.handler.decoding(request.content_type)
                job.own = decoding.own
                data = decoding.read(body, request.content_type, job.context)
                job.data = await data if decoding.is_async else data
        except Exception as error:  # noqa: BLE001 - whatever user code raises is this request's
            _fail(job, error, job.own)
        job.times.append(perf_counter())

    def _is_in_parts(self, request: Request, body: Body) -> bool:
        """Whether it is named parts that were sent; then the request's parts are just these."""
        is_form = content_types.is_form(request.content_type)
        parameters = [] if len(body) else request.other_parts
        if not (is_form or parameters) or self.handler.reads_whole(request.content_type):
            return False
        if is_form:
            forms.take_apart(request, body)
        else:
            request.parts = parameters
        return True

    async def _fields(self, job: _Job) -> dict[str, Any]:
        if not job.request.parts:
            message = "The form has no fields, or is cut off."
            raise BadRequestError(message)
        fields = []
        for part in job.request.parts:
            decoding = self.handler.part_decoding(part.content_type)
            job.own = decoding.own
            try:
                data = decoding.read(part.value, part.content_type, job.context)
                fields.append((part.name, await data if decoding.is_async else data))
            except InferenceError as error:
                raise form.named(error, part.name) from None
        job.own = None
        return form.gathered(fields)

    async def _predict(self, jobs: list[_Job]) -> None:
        predictor = self.handler.predictor
        if predictor is None or not jobs:
            return
        options = self.handler.batching
        if options.max_batch_size == 1:
            for job in jobs:
                try:
                    job.data = predictor.call(job.data, self.model, job.context)
                    if predictor.is_async:
                        job.data = await job.data
                except Exception as error:  # noqa: BLE001 - as above
                    _fail(job, error, predictor)
        else:
            self._predict_batch(jobs, predictor)
        now = perf_counter()
        for job in jobs:
            job.times.append(now)

    def _predict_batch(self, jobs: list[_Job], predictor: Handler) -> None:
        """Call the predictor once for all; where that fails, once for each."""
        options = self.handler.batching
        try:
            predictions = collation.call(
                predictor,
                [job.data for job in jobs],
                self.model,
                [job.context for job in jobs],
                collate=options.collate,
            )
        except Exception as error:  # noqa: BLE001 - as above
            if len(jobs) == 1 or not options.retry_one_by_one:
                for job in jobs:
                    _fail(job, error, predictor)
                return
            logger.warning("a batch of %d failed and is tried one by one: %r", len(jobs), error)
            for job in jobs:
                self._predict_batch([job], predictor)
        else:
            for job, prediction in zip(jobs, predictions, strict=True):
                job.data = prediction

    async def _encode(self, job: _Job) -> None:
        encoding = job.encoding
        try:
            result = encoding.write(job.data, encoding.content_type, job.context)
            if encoding.is_async:
                result = await result
            _respond(job, result, encoding.content_type, is_script=encoding.is_script)
        except UnsupportedFormatError as error:
            _fail(job, _not_acceptable(error), encoding.own)
        except Exception as error:  # noqa: BLE001 - as above
            _fail(job, error, encoding.own)


def _unpacked(request: Request) -> Body | None:
    body, codings = request.body, request.headers.find("content-encoding")
    return content_coding.unpack(body, codings) if codings and body is not None else body


def _import_common_codecs() -> None:
    """Codecs are imported when they are used; the first request shall not wait for that."""
    from sagemaker_inference.codecs import csv, json

    json.encode(json.decode(b"[[1.5]]"))
    csv.encode(csv.decode(b"1.5,2.5\n"))


def _not_acceptable(error: UnsupportedFormatError) -> NotAcceptableError:
    return NotAcceptableError(error.message)


def _respond(job: _Job, result: Any, content_type: str, *, is_script: bool = False) -> None:
    if isinstance(result, tuple):
        result, other = result
        content_type = other or content_type
    if is_script and not isinstance(result, (str, bytes, bytearray, memoryview)):
        # MMS writes such values as JSON, whatever their type was said to be.
        codec = codecs.find(content_type)
        content_type = content_type if codec and codec.encode else content_types.JSON
        result = _built_in(result, content_type)
    body: Body
    if isinstance(result, str):
        body = _encoded(result, job.context.response_content_type or content_type)
    elif isinstance(result, memoryview):
        body = result if result.c_contiguous else result.tobytes()
    elif isinstance(result, (bytes, bytearray)):
        body = result
    else:
        message = (
            f"the encoder for {content_type} returned {type(result).__name__}, not bytes or str"
        )
        raise EncodeError(message)
    context = job.context
    status = int(context.status or _OK)
    if not 200 <= status <= 599:  # noqa: PLR2004 - RFC 9110: final statuses
        message = f"the program set status {status}; a response has one from 200 to 599"
        raise EncodeError(message)
    content_type = context.response_content_type or content_type
    if "*" in content_type:
        message = f"the encoder for {content_type} named no type; return (body, type)"
        raise EncodeError(message)
    headers = context.response_headers
    accepted = job.request.headers.find("accept-encoding")
    if content_coding.is_worth_packing(len(body), content_type, accepted) and not any(
        name.lower() == "content-encoding" for name in headers
    ):
        body = content_coding.pack(body)
        headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    job.response = Response(
        body,
        content_type,
        status=status,
        headers=headers,
        phrase=ascii_line(context.phrase) if context.phrase else standard_phrase(status),
    )


def _encoded(text: str, content_type: str) -> bytes:
    charset = content_types.parse(content_type).parameters.get("charset", "utf-8")
    try:
        return text.encode(charset)
    except (UnicodeEncodeError, LookupError) as error:
        message = f"the answer cannot be written as {content_type}"
        raise EncodeError(message) from error


def _built_in(prediction: Any, content_type: str) -> Body:
    codec = codecs.find(content_type)
    if codec is None or codec.encode is None:
        message = f"the transformer returned {type(prediction).__name__}, not bytes or str"
        raise EncodeError(message)
    return codec.encode(prediction, content_type)


def _fail(job: _Job, error: Exception, handler: Handler | None) -> None:
    """Answer with the error's status; the log gets what the client must not."""
    request = job.request
    if isinstance(error, BaseInferenceToolkitError):
        answer = error
        # What user code raised on purpose is the client's affair; what we cannot write is ours.
        if error_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request %s failed", request.id, exc_info=users_exc_info(error))
    elif (prediction := mms_objects.of_prediction_exception(error)) is not None:
        answer = prediction
        logger.error("request %s failed", request.id, exc_info=users_exc_info(error))
    elif isinstance(error, MemoryError):
        logger.error("request %s ran out of memory", request.id, exc_info=users_exc_info(error))
        answer = OutOfMemoryError("Memory ran out while this request was worked on.")
    else:
        where = handler.role.name if handler else "server"
        logger.error("request %s: the %s failed", request.id, where, exc_info=users_exc_info(error))
        answer = PredictionError(
            f"The {where} failed on this request. "
            f"The endpoint's log has the cause under the request id.",
            code=_FAILED.get(where, ErrorCode.INTERNAL_ERROR).value,
        )
    job.response = error_response(answer, request.id, request.accept, job.context.response_headers)


def _finished(job: _Job) -> Response:
    response = job.response
    if response is None:  # every path above ends in _respond or _fail
        message = "a request was left without an answer"
        raise RuntimeError(message)
    start, *ends = *job.times, perf_counter()
    # What failed has fewer steps.
    decoded, predicted, encoded = (*ends, ends[-1], ends[-1])[:3]
    response.decode_seconds = decoded - start
    response.predict_seconds = predicted - decoded
    response.encode_seconds = encoded - predicted
    return response
