"""The front end's process and what it is told: the supervisor's end of the control socket."""

from __future__ import annotations

import base64
import binascii
import math
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.error_response import error_body, openai_error_body
from sagemaker_inference._log import get_logger
from sagemaker_inference._os.child_process import UNKNOWN_EXIT, ChildProcess, describe_exit
from sagemaker_inference._program.paths import is_openai
from sagemaker_inference._supervisor.control import ControlSocket
from sagemaker_inference._supervisor.refused_requests import RefusedRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagemaker_inference._frontends.base import FrontEnd
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._os.output import Outputs
    from sagemaker_inference._supervisor.control import Message

logger = get_logger()

# How long it may take to start, to open its port, and to connect to workers.
PATIENCE_SECONDS: Final = 45.0
# A process that ends hangs up a moment before its exit code can be had.
_LAST_WORDS_SECONDS: Final = 1.0
_SOCKET: Final = "control.sock"
_WITHOUT_ID: Final = 0
_HELLO: Final = "hello"
_OPEN: Final = "open"
_DEPLOY: Final = "deploy"
_RETIRE: Final = "retire"
_DRAIN: Final = "drain"
_STATS: Final = "stats"
# What each of its answers answers.
_ANSWERS: Final = {
    "hello": _HELLO,
    "opened": _OPEN,
    "open_failed": _OPEN,
    "deployed": _DEPLOY,
    "deploy_failed": _DEPLOY,
    "retired": _RETIRE,
    "drained": _DRAIN,
}
# What is said when an answer does not come in time.
_LATE: Final = {
    _HELLO: "did not connect to the supervisor",
    _OPEN: "did not open its port",
    _DEPLOY: "did not connect to the workers",
}


class Request(NamedTuple):
    """An HTTP request that the front end leaves to the supervisor.

    Attributes:
        id: what the reply is for.
        method: the HTTP method.
        target: path and query, as they came.
        headers: name and value of each.
        body: the bytes.
        request_id: what its client knows it by.
    """

    id: int
    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    request_id: str = ""


class FrontEndOwner(Protocol):
    """Who wants to know what the front end does."""

    def on_front_end_failed(self, exit_code: int) -> None:
        """It has ended, or is of no use any more; the log says why."""
        ...

    def on_request(self, request: Request) -> None:
        """A request to a path that it was told to ask about."""
        ...


class _Awaited(NamedTuple):
    deadline: float
    on_answer: Callable[[str], None]


class FrontEndProcess:
    """Starts the front end, tells it what to do and hears its answers.

    Args:
        front_end: how it is started.
        loop: calls back when it has something to say.
        folder: a private directory.
        outputs: where it writes.
        owner: hears what it does.

    Attributes:
        counts: what it has counted of requests, for each path and model, when it was last asked.
        version: what it runs on.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        loop: EventLoop,
        folder: str,
        outputs: Outputs,
        owner: FrontEndOwner,
    ) -> None:
        self._front_end = front_end
        self._loop = loop
        self._err = outputs.err
        self._owner = owner
        self._refused = RefusedRequests(outputs.err.write)
        self._child: ChildProcess | None = None
        self._awaited: dict[tuple[str, int], _Awaited] = {}
        self._asked: dict[str, Sequence[str]] = {}
        self._counting: list[Callable[[], None]] = []
        self.counts: Sequence[Mapping[str, Any]] = ()
        self.version = ""
        path = str(Path(folder, _SOCKET))
        self._launch = front_end.prepare(folder, path)
        self._control = ControlSocket(loop, path, self._on_message, self._on_lost)

    def start(self) -> None:
        """Start the process."""
        child = ChildProcess.spawn(
            self._launch.command, env=self._launch.environment, targets=(None, self._err)
        )
        self._child = child
        for relay in child.relays:
            self._loop.watch_relay(relay)
        self._await(_HELLO, _WITHOUT_ID, lambda _error: None)

    # What it is told.

    def open(self, on_opened: Callable[[str], None], *, one_model: bool = False) -> None:
        """Have it open its port; the callback gets "" or what went wrong.

        Args:
            on_opened: the callback.
            one_model: whether there will be one deployment, whose routes are not known before:
                until then, paths that nothing answers get 503, and not 404.
        """
        self._await(_OPEN, _WITHOUT_ID, on_opened)
        self._control.send(_OPEN, **({"one_model": True} if one_model else {}))

    def set_health(self, status: int, body: str, valid_for: int = 0) -> None:
        """Say what it answers to /ping from now on.

        Args:
            status: the HTTP status.
            body: JSON, or "".
            valid_for: seconds after which it answers 503, unless it hears of health again; 0 for
                as long as it hears nothing else.
        """
        content_type = "application/json" if body else ""
        self._control.send(
            "health", status=status, content_type=content_type, body=body, valid_for=valid_for
        )

    def ask(self, paths: Sequence[str], purpose: str = "") -> None:
        """Say which paths it asks the supervisor about; ``*`` is any one segment.

        Args:
            paths: in place of those that were set for the same purpose before.
            purpose: keeps apart what different parts of the supervisor answer.
        """
        self._asked[purpose] = paths
        self._control.send("ask", paths=[path for some in self._asked.values() for path in some])

    def count(self, on_counted: Callable[[], None]) -> None:
        """Have it say what it has counted: `counts` are new when it calls back."""
        self._counting.append(on_counted)
        self._control.send(_STATS, id=_WITHOUT_ID)

    def connections_for(self, slots: int, workers: int) -> int:
        """How many connections it opens; see `FrontEnd`."""
        return self._front_end.connections_for(slots, workers)

    def deploy(  # noqa: PLR0913, PLR0917 - the fields of a message
        self,
        number: int,
        socket_path: str,
        connections: int,
        routes: Sequence[str],
        wait_limit: float,
        on_deployed: Callable[[str], None],
        sockets: Sequence[Mapping[str, Any]] = (),
        places: int = 0,
    ) -> None:
        """Have it connect to a deployment's socket and route requests there.

        Args:
            number: the deployment's.
            socket_path: where the deployment listens.
            connections: how many to open.
            routes: paths, percent-decoded.
            wait_limit: seconds that a request may wait for a worker.
            on_deployed: gets "" once the routes are live, or what went wrong.
            sockets: the path and the limits of each WebSocket.
            places: how many of them may be open at the same time.
        """
        self._await(_DEPLOY, number, on_deployed)
        self._control.send(
            _DEPLOY,
            id=number,
            socket=socket_path,
            connections=connections,
            routes=list(routes),
            wait_limit=wait_limit,
            **({"sockets": list(sockets), "places": places} if sockets else {}),
        )

    def retire(self, number: int, cause: str, on_retired: Callable[[str], None]) -> None:
        """Have it take a deployment's routes away and hang up when its requests are answered.

        Args:
            number: the deployment.
            cause: why, for clients whose requests are refused.
            on_retired: gets "" when it has hung up.
        """
        self._awaited.pop((_DEPLOY, number), None)
        self._await(_RETIRE, number, on_retired, math.inf)
        self._control.send(_RETIRE, id=number, cause=cause)

    def reply(
        self, request_id: int, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Answer a `Request`."""
        text = base64.b64encode(body).decode()
        self._control.send(
            "reply",
            id=request_id,
            status=status,
            headers=[list(item) for item in headers],
            body=text,
        )

    def refuse(
        self, request: Request, code: ErrorCode, message: str, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Answer a `Request` with an error, in the form that all errors have."""
        status = int(code.status)
        if is_openai(request.target):
            body = openai_error_body(status, code.value, message, request.request_id)
        else:
            body = error_body(code.value, message, request.request_id)
        headers = [("content-type", "application/json"), *headers]
        self.reply(request.id, status, body, headers)

    def takes_read(self, request: Request, path: str) -> bool:
        """Whether a request reads a path that nothing else can be done with; else refuse it."""
        if request.method in ("GET", "HEAD"):
            return True
        message = f"The method is {request.method}; {path} takes GET and HEAD"
        allow = [("allow", "GET, HEAD")]
        self.refuse(request, ErrorCode.METHOD_NOT_ALLOWED, message, allow)
        return False

    def drain(self, on_drained: Callable[[str], None]) -> None:
        """Have it take no more connections and answer what is in progress."""
        self._await(_DRAIN, _WITHOUT_ID, on_drained, math.inf)
        self._control.send(_DRAIN)

    # What it says.

    def _await(
        self,
        kind: str,
        number: int,
        on_answer: Callable[[str], None],
        seconds: float | None = None,
    ) -> None:
        patience = PATIENCE_SECONDS if seconds is None else seconds
        self._awaited[kind, number] = _Awaited(monotonic() + patience, on_answer)

    def _on_message(self, message: Message) -> None:
        kind, number = message["type"], message.get("id", _WITHOUT_ID)
        if kind == "request":
            self._on_request(message)
            return
        if kind == "access":
            self._refused.on_message(message)
            return
        if kind == _STATS:
            self._on_stats(message)
            return
        if kind == _HELLO:
            self.version = str(message.get("version", ""))
        awaited = self._awaited.pop((_ANSWERS.get(kind, ""), number), None)
        if awaited is not None:
            error = message.get("error", "no reason given") if kind.endswith("_failed") else ""
            awaited.on_answer(error)

    def _on_request(self, message: Message) -> None:
        try:
            headers = [(str(name), str(value)) for name, value in message["headers"]]
            body = base64.b64decode(message["body"], validate=True)
            request = Request(
                id=message["id"],
                method=message["method"],
                target=message["target"],
                headers=headers,
                body=body,
                request_id=str(message.get("request_id", "")),
            )
        except (LookupError, TypeError, ValueError, binascii.Error):
            logger.error("the front end has sent a request that cannot be read")  # noqa: TRY400
            return
        self._owner.on_request(request)

    def _on_stats(self, message: Message) -> None:
        self.counts = message.get("routes", ())
        counting, self._counting = self._counting, []
        for on_counted in counting:
            on_counted()

    @property
    def pid(self) -> int | None:
        """Its process id, while there is one."""
        return None if self._child is None else self._child.pid

    def _on_lost(self, reason: str) -> None:
        def give_up() -> None:
            if self._child is not None:
                logger.error("the front end is ended: %s", reason)
                self._fail(self._end())

        # Where its process is ending, `reap` has more to say.
        self._loop.after(_LAST_WORDS_SECONDS, give_up)

    # How it ends.

    def reap(self) -> None:
        """Notice that it has ended."""
        code = None if self._child is None else self._child.reap()
        if code is None:
            return
        lines = self._end()
        hint = self._front_end.hint
        logger.error(
            "the front end %s.%s Its last lines:%s",
            describe_exit(code),
            f" {hint}" if hint else "",
            lines,
        )
        # As an exit code, UNKNOWN_EXIT would be 0.
        self._owner.on_front_end_failed(code if 0 < code < UNKNOWN_EXIT else 1)

    def check_time_limits(self) -> None:
        """End it where an answer has not come in time."""
        now = monotonic()
        late = [kind for (kind, _), awaited in self._awaited.items() if awaited.deadline < now]
        if late and self._child is not None:
            logger.error(
                "the front end %s within %g s. Its log is above.", _LATE[late[0]], PATIENCE_SECONDS
            )
            self._fail(self._end())

    def _fail(self, lines: str) -> None:
        logger.error("the front end's last lines:%s", lines)
        self._owner.on_front_end_failed(1)

    def _end(self) -> str:
        """Kill it; returns its last lines, for the log."""
        child, self._child = self._child, None
        if child is None:
            return ""
        self._awaited.clear()
        child.kill_group()
        child.wait()
        for relay in child.relays:
            self._loop.unwatch(relay.source)
            relay.close()
        return "".join(f"\n    {line}" for line in child.tail) or " none"

    def close(self) -> None:
        """Kill it, and close the control socket."""
        self._end()
        self._control.close()
