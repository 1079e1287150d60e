"""Sessions: what a worker keeps from one request of a client to the next.

A session belongs to the worker that has begun it, whose key is the last part of its id. Requests of
a session that reach another worker are handed over by whoever passes them on (`_worker`); what has
come here for another key is lost.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import uuid
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables
from sagemaker_inference._aws import mms_objects
from sagemaker_inference._errors import (
    ErrorCode,
    InferenceError,
    OutOfMemoryError,
    SessionNotFoundError,
    session_lost,
)
from sagemaker_inference._http.context import Context
from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference.failures import failure_response, must_pass
from sagemaker_inference._inference.streams import Stream
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._program.signatures import Handler

logger = get_logger()

# https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html
HEADER: Final = "X-Amzn-SageMaker-Session-Id"
# As SageMaker's API has it, and AWS's containers of language models.
_NEW: Final = "X-Amzn-SageMaker-New-Session-Id"
_CLOSED: Final = "X-Amzn-SageMaker-Closed-Session-Id"
NEW_SESSION: Final = "NEW_SESSION"
_CLOSE: Final = "CLOSE"
# A body that is one of these is no prediction.
_REQUEST_TYPE: Final = "requestType"
_LONGEST_DOCUMENT: Final = 64
_KEY: Final = re.compile(r"[0-9a-f]{8}")
_BAD: Final = 400


def key_of(session_id: str) -> str:
    """The key of the worker that has a session; "" where the id is none of ours."""
    key = session_id.rpartition("-")[2]
    return key if _KEY.fullmatch(key) else ""


class Session:
    """What a worker keeps of a client.

    Attributes:
        id: its name, which the client sends with each request.
        state: what `@session_start` has returned, or a dict.
        expires: when it ends unless it is used before.
        is_closed: whether it ends with this request.
    """

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.state: Any = {}
        self.expires = datetime.now(timezone.utc)
        self.is_closed = False
        # Whether its client does not know it yet, how many requests use it now, and until when it
        # is kept without one.
        self.is_new = True
        self.uses = 0
        self.until = 0.0

    def __repr__(self) -> str:
        return f"Session({self.id!r}, expires={self.expires:%Y-%m-%dT%H:%M:%SZ})"

    def close(self) -> None:
        """End it with this request."""
        self.is_closed = True

    def renew(self, seconds: float) -> None:
        """Begin its time anew."""
        self.until = monotonic() + seconds
        self.expires = datetime.now(timezone.utc) + timedelta(seconds=seconds)


class Sessions:
    """The sessions of a worker.

    Args:
        start, end: the hooks of the program.
        config: how many there may be, and for how long.

    Attributes:
        key: the worker, as ids have it.
    """

    def __init__(self, start: Handler | None, end: Handler | None, config: Config) -> None:
        self.key = secrets.token_hex(4)
        self._start = start
        self._end = end
        self._seconds = config.session_expiration
        self._limit = config.max_sessions
        self._model: Any = None
        self._load_context = Context()
        # In the order of their last use.
        self._open: dict[str, Session] = {}
        # Those that are to end.
        self._over: list[Session] = []
        # A program may answer in several threads.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, model: Any, load_context: Context) -> None:
        """Take what hooks get, once the model is loaded."""
        self._model, self._load_context = model, load_context

    def around(
        self, answer: Callable[[Sequence[Request]], Awaitable[list[Response]]]
    ) -> Callable[[Sequence[Request]], Coroutine[Any, Any, list[Response]]]:
        """Answer with sessions what a program answers without."""

        async def answer_with_sessions(requests: Sequence[Request]) -> list[Response]:
            await self.end_overdue()
            responses: list[Response | None] = []
            try:
                for request in requests:
                    response = await self._response_of_begin(request)
                    responses.append(response)
                waiting = [index for index, found in enumerate(responses) if found is None]
                while waiting:
                    turn, waiting = _one_of_each(requests, waiting)
                    done = await answer([requests[index] for index in turn])
                    for index, response in zip(turn, done, strict=True):
                        responses[index] = self._finished(requests[index], response)
            except BaseException:  # it was cancelled
                for request, found in zip(requests, responses, strict=False):
                    if found is None and request.session is not None:
                        self._leave(request.session)
                raise
            await self.end_overdue()
            return responses  # type: ignore[return-value]

        return answer_with_sessions

    async def _response_of_begin(self, request: Request) -> Response | None:
        try:
            return await self._begin(request)
        except BaseException as error:
            if must_pass(error, is_async=self._is_async):
                raise
            return failure_response(request, error, self._start, {})

    @property
    def _is_async(self) -> bool:
        return self._start is not None and self._start.is_async

    async def _begin(self, request: Request) -> Response | None:
        """Find the session of a request, or begin one; the response where that is all it asks for.

        Raises:
            InferenceError: there is no such session, or there are too many.
        """
        refusal, request.session = request.session, None
        if isinstance(refusal, InferenceError):  # of who was to hand it over
            raise refusal
        session_id = request.headers.find(HEADER.lower())
        # A WebSocket has no body that says something.
        asked = _request_type(request) if request.query is None else ""
        if session_id == NEW_SESSION or (asked == NEW_SESSION and not session_id):
            session = await self._opened(request)
            if asked == NEW_SESSION:
                return self._finished(request, _document(session))
        elif session_id:
            session = self._found(request, session_id)
            if asked == _CLOSE:
                session.close()
                return self._finished(request, _document(session))
        return None

    async def _opened(self, request: Request) -> Session:
        if len(self._open) >= self._limit:
            message = (
                f"The worker keeps {self._limit} sessions, and no more "
                f"({_variables.MAX_SESSIONS.name}). Close some, or wait until they expire."
            )
            raise OutOfMemoryError(message, code=ErrorCode.TOO_MANY_SESSIONS.value)
        request.session = session = Session(f"{uuid.uuid4()}-{self.key}")
        with self._lock:
            self._use(session)
        if self._start is not None:
            context = self._load_context.for_request(request, mms_objects.new_metrics)
            try:
                state = self._start.call(self._model, context)
                state = await state if self._start.is_async else state
            except BaseException:
                with self._lock:
                    del self._open[session.id]
                raise
            if state is not None:
                session.state = state
        return session

    def _found(self, request: Request, session_id: str) -> Session:
        with self._lock:
            session = self._open.get(session_id)
            if session is not None and not session.is_closed:
                self._use(session)
                request.session = session
                return session
        if session is None and key_of(session_id) not in {"", self.key}:
            raise session_lost()
        message = "There is no such session: it has expired or was closed. Begin a new one."
        raise SessionNotFoundError(message)

    def _use(self, session: Session) -> None:
        """Note that a request uses a session; who calls has the lock."""
        session.uses += 1
        self._renew(session)

    def _renew(self, session: Session) -> None:
        session.renew(self._seconds)
        self._open.pop(session.id, None)
        self._open[session.id] = session

    def _finished(self, request: Request, response: Response) -> Response:
        """Say in a response what has become of the session."""
        session = request.session
        if session is None:
            return response
        headers = dict(response.headers)
        if session.is_new and response.status < _BAD:
            value = f"{session.id}; Expires={session.expires:%Y-%m-%dT%H:%M:%SZ}"
            headers[HEADER] = headers[_NEW] = value
            session.is_new = False
        if session.is_closed and not session.is_new:
            headers[_CLOSED] = session.id
        response.headers = headers
        if isinstance(response.body, Stream):
            response.body.on_end(lambda: self._leave(session))
        else:
            self._leave(session)
        return response

    def _leave(self, session: Session) -> None:
        """Note that a request no longer uses a session."""
        with self._lock:
            session.uses -= 1
            # One that is new still is of no use to anybody: its client does not get to know it.
            if not session.uses and (session.is_closed or session.is_new):
                session.close()
                self._open.pop(session.id, None)
                self._over.append(session)
            elif session.id in self._open:
                # A stream or a WebSocket may have used it for longer than it is kept.
                self._renew(session)

    @property
    def has_overdue(self) -> bool:
        """Whether a session is to end now."""
        first = next(iter(self._open.values()), None)
        return bool(self._over) or (first is not None and monotonic() > first.until)

    async def end_overdue(self) -> None:
        """End the sessions that were closed or have expired."""
        if not self.has_overdue:
            return
        now = monotonic()
        with self._lock:
            over, self._over = self._over, []
            for session in list(self._open.values()):
                if now <= session.until:
                    break
                if not session.uses:
                    over.append(self._open.pop(session.id))
        for session in over:
            await self._ended(session)

    async def end_all(self) -> None:
        """End all sessions, since the worker ends."""
        with self._lock:
            sessions = [*self._over, *self._open.values()]
            self._open, self._over = {}, []
        for session in sessions:
            await self._ended(session)

    async def _ended(self, session: Session) -> None:
        if self._end is None:
            return
        try:
            result = self._end.call(session.state, self._model, self._load_context)
            if self._end.is_async:
                await result
        except BaseException as error:
            if must_pass(error, is_async=self._end.is_async):
                raise
            info = users_exc_info(error)
            logger.error("session_end failed: %s", self._end, exc_info=info)  # noqa: TRY400 - without our frames


def _request_type(request: Request) -> str:
    """What a body asks for that is about a session and nothing else; "" for all others."""
    if not 0 < len(request.body) <= _LONGEST_DOCUMENT:
        return ""
    if content_types.parse(request.content_type).name != content_types.JSON:
        return ""
    try:
        document = json.loads(bytes(request.body))
    except ValueError:
        return ""
    is_alone = isinstance(document, dict) and list(document) == [_REQUEST_TYPE]
    return document[_REQUEST_TYPE] if is_alone else ""


def _document(session: Session) -> Response:
    document: dict[str, object] = {"session_id": session.id}
    if session.is_closed:
        document["closed"] = True
    else:
        document["expires"] = f"{session.expires:%Y-%m-%dT%H:%M:%SZ}"
    return Response(json.dumps(document).encode(), content_types.JSON)


def _one_of_each(requests: Sequence[Request], waiting: list[int]) -> tuple[list[int], list[int]]:
    """Divide requests into those to answer now and others: of a session, one at a time."""
    turn: list[int] = []
    rest: list[int] = []
    seen = set()
    for index in waiting:
        session = requests[index].session
        if session is not None and session.id in seen:
            rest.append(index)
            continue
        turn.append(index)
        if session is not None:
            seen.add(session.id)
    return turn, rest
