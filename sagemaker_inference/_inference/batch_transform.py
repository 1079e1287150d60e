"""What a batch transform job needs: an output record for each record that it has sent.

A job joins outputs to inputs one by one, and loses a whole file over a request that fails. So a
program that returns another number of records is named in the log; and where that is asked for, a
record that cannot be decoded or predicted gets a placeholder, and the others their predictions.
"""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._http.error_response import error_details
from sagemaker_inference._http.messages import Headers, Request, Response, whole_body
from sagemaker_inference._inference import records
from sagemaker_inference._inference.failures import (
    Failure,
    Undecided,
    as_failure,
    failure_response,
)
from sagemaker_inference._inference.records import Output
from sagemaker_inference._log import current_request, get_logger
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from sagemaker_inference._inference.decoding import Decoders
    from sagemaker_inference._inference.encoding import Encoders
    from sagemaker_inference._inference.records import Records
    from sagemaker_inference.codecs import Body

    Answer: TypeAlias = Callable[[Sequence[Request]], Coroutine[Any, Any, list[Response]]]
    Attempt: TypeAlias = Callable[[Request], Awaitable[Response | Failure]]

logger = get_logger()

# These are not about what a record holds.
_OF_REQUESTS: Final = frozenset(
    {
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
# So many bad records of a request are logged; the others are counted.
_LOGGED: Final = 5
_OK: Final = int(HTTPStatus.OK)


class BatchTransform:
    """Answers requests of a job record by record where they cannot be answered as a whole.

    Args:
        decoders, encoders: those of the program.
        has_placeholders: whether a bad record gets a placeholder; else its request fails.

    Attributes:
        has_placeholders: as above.
    """

    def __init__(self, decoders: Decoders, encoders: Encoders, *, has_placeholders: bool) -> None:
        self._decoders = decoders
        self._encoders = encoders
        self.has_placeholders = has_placeholders
        self._has_warned = False
        # Of rows of CSV that were written, for those of placeholders.
        self._columns = 1

    def _prepared(self, request: Request) -> Request:
        """A request as it is answered: without compression, which would only be undone.

        With placeholders, the first row of CSV is a record unless the request says otherwise: to
        take a bad record for a header would shift all others.
        """
        changed = {}
        if request.headers.find("accept-encoding"):
            changed["Accept-Encoding"] = ""
        content_type = request.content_type or self._decoders.assumed_type(request.body)
        if self.has_placeholders and self._reads_header(content_type):
            changed["Content-Type"] = f"{content_type}; header=absent"
        return _changed(request, request.body, changed) if changed else request

    def _reads_header(self, content_type: str) -> bool:
        if records.format_of(content_type) != "csv" or self._decoders.has_own(content_type):
            return False
        return not content_types.parse(content_type).parameters.get("header")

    def around(self, answer: Answer) -> Answer:
        """What answers requests of a job, made of what answers any.

        Args:
            answer: answers requests; with placeholders, those that fail are `Undecided`.
        """

        async def attempt(request: Request) -> Response | Failure:
            [response] = await answer([request])
            return response.failure if isinstance(response, Undecided) else response

        async def answer_in_job(requests: Sequence[Request]) -> list[Response]:
            changed = [self._prepared(request) for request in requests]
            responses = await answer(changed)
            return [
                await self._completed(request, response, attempt)
                for request, response in zip(changed, responses, strict=True)
            ]

        return answer_in_job

    async def _completed(self, request: Request, response: Response, attempt: Attempt) -> Response:
        """The answer, with placeholders where that has to be; its records are counted."""
        before = current_request.set(request.id)
        began = perf_counter()
        body = request.body
        try:
            if isinstance(response, Undecided):
                failed = response
                result: Response | Failure = failed.failure
                if failed.unpacked is not None and request.fields is None:
                    body = failed.unpacked
                    result = await self._divided(request, body, failed.failure, attempt)
                response = (
                    failure_response(request, *result, failed.headers)
                    if isinstance(result, Failure)
                    else result
                )
                response.decode_seconds = failed.decode_seconds
                response.predict_seconds = failed.predict_seconds + perf_counter() - began
            if not request.headers.find("content-encoding"):
                self._check(request, body, response)
        finally:
            current_request.reset(before)
        return response

    def _check(self, request: Request, body: Body, response: Response) -> None:
        """Warn, once, of an answer with another number of records than were sent.

        Args:
            request: the request.
            body: its body, without content codings.
            response: the answer.
        """
        answer = response.body
        if response.status != _OK or not isinstance(answer, (bytes, bytearray, memoryview)):
            return
        self._columns = records.columns_of(answer, response.content_type) or self._columns
        if self._has_warned or "Content-Encoding" in response.headers:
            return
        sent = records.divide(body, self._type_of(request, body))
        got = records.divide(answer, response.content_type)
        if sent is not None and got is not None and sent.count != got.count:
            self._has_warned = True
            logger.warning(
                "request %s: %s sent, %d in the answer (%s). A batch "
                "transform job joins them one by one: return a prediction for each record, and "
                "send no header row, or Content-Type: text/csv; header=present",
                request.id,
                counted(sent.count, "record"),
                got.count,
                response.content_type,
            )

    def _type_of(self, request: Request, body: Body) -> str:
        return request.content_type or self._decoders.assumed_type(body)

    async def _divided(
        self, request: Request, body: Body, failure: Failure, attempt: Attempt
    ) -> Response | Failure:
        """Answer a request that has failed, with placeholders for its bad records.

        Args:
            request: the request.
            body: its body, without content codings.
            failure: why it has failed.
            attempt: answers a request with some of the records.

        Returns:
            The answer; or why the request fails, where that is not for what its records hold.
        """
        if not _is_of_record(failure):
            return failure
        content_type = self._type_of(request, body)
        found = records.divide(body, content_type)
        if found is None and records.holds_many(content_type):
            return failure
        found = found or records.single(body)
        parts = _Parts(request, found, attempt)
        try:
            outputs = await parts.outputs(0, found.count, failure)
        except _NotDividedError as error:
            return error.failure
        written = parts.written or self._encoders.for_accept(request.accept).content_type
        for answer in parts.answers[:1]:
            self._columns = records.columns_of(whole_body(answer), written) or self._columns
        joined = records.join(outputs, written, columns=self._columns, are_many=found.are_many)
        if joined is None:
            logger.warning(
                "request %s fails for its bad records, since %s has no place for placeholders: "
                "accept application/jsonlines or text/csv",
                request.id,
                written,
            )
            return failure
        parts.log()
        headers = parts.answers[0].headers if parts.answers else None
        return Response(joined, written, headers=headers, phrase=HTTPStatus.OK.phrase)


class _NotDividedError(Exception):
    """A part has failed for what is not about its records.

    Args:
        failure: why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _Parts:
    """Tries a request's records, in halves of halves, so that one bad of 1,000 costs 20 calls.

    Args:
        request: the request.
        found: its records.
        attempt: answers a request with some of them.

    Attributes:
        answers: the answers to parts.
        bad: the numbers of the bad records, from 1 on, and why they are.
    """

    def __init__(self, request: Request, found: Records, attempt: Attempt) -> None:
        self._request = request
        self._found = found
        self._attempt = attempt
        self.answers: list[Response] = []
        self.bad: list[tuple[int, Failure]] = []

    @property
    def written(self) -> str:
        """The content type of the answers; "" without one."""
        return self.answers[0].content_type if self.answers else ""

    async def outputs(self, first: int, last: int, result: Response | Failure) -> list[Output]:
        """What has become of some records.

        Args:
            first: which of them is the first, from 0 on.
            last: which is the first that is none of them.
            result: what came of them together.

        Raises:
            _NotDividedError: they failed for something else than what one of them holds.
        """
        if isinstance(result, Response):
            self.answers.append(result)
            return [Output(last - first, bytes(whole_body(result)))]
        if not (last > first and _is_of_record(result)):
            raise _NotDividedError(result)
        if last - first == 1:
            self.bad.append((last, result))
            return [Output(1, error=_details(self._request, result))]
        middle = (first + last) // 2
        outputs: list[Output] = []
        for start, end in ((first, middle), (middle, last)):
            part = _changed(self._request, self._found.part(start, end), {"Content-Encoding": ""})
            outputs += await self.outputs(start, end, await self._attempt(part))
        return outputs

    def log(self) -> None:
        """Say which records are bad, and why the first of them are."""
        for number, failure in self.bad[:_LOGGED]:
            as_failure(self._request, *failure)
            details = _details(self._request, failure)
            logger.warning(
                "request %s: record %d of %d is a placeholder: %s: %s",
                self._request.id,
                number,
                self._found.count,
                details["code"],
                details["message"],
            )
        if len(self.bad) > _LOGGED:
            logger.warning(
                "request %s: placeholders for %d of %s",
                self._request.id,
                len(self.bad),
                counted(self._found.count, "record"),
            )


def _is_of_record(failure: Failure) -> bool:
    if isinstance(failure.error, MemoryError):
        return False
    status = getattr(failure.error, "status_code", None)
    # Programs raise statuses that are no failures on purpose, such as 204.
    is_failure = not isinstance(status, int) or status >= HTTPStatus.BAD_REQUEST
    return is_failure and status not in _OF_REQUESTS


def _details(request: Request, failure: Failure) -> dict[str, str]:
    code, message = error_details(as_failure(request, *failure, is_logged=False))
    return {"code": code, "message": message}


def _changed(request: Request, body: Body, headers: Mapping[str, str]) -> Request:
    """A request with another body and other headers; one that is "" is left out."""
    names = {name.lower() for name in headers}
    if "content-type" in names:
        names.add("contenttype")
    items = [(name, value) for name, value in request.headers.items() if name.lower() not in names]
    items += [(name, value) for name, value in headers.items() if value]
    return Request(request.id, Headers(items), body, request.parameters, request.fields)
