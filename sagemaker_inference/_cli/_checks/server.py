"""Rules about a server that runs; they come last, and SIGTERM last of all."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sagemaker_inference._cli._checks.rules import Finding, rule
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.probe import Probe, Timed
    from sagemaker_inference._cli._checks.target import Target

_PING: Final = "GET /ping"
_INVOKE: Final = "POST /invocations"
_INVOCATIONS: Final = "/invocations"
_PARAMETERS: Final = "/execution-parameters"
_START_SECONDS: Final = 480
_PING_SECONDS: Final = 2.0
_PINGS: Final = 10
_ANSWER_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_PAYLOAD_MB: Final = 25
_MEGABYTE: Final = 1024 * 1024
# Of an error's body, the caller's message has this much.
_ERROR_BYTES: Final = 1024
_UNKNOWN_TYPE: Final = {"Content-Type": "application/x-no-such-type"}
_JSON: Final = {"Content-Type": "application/json"}


def _probe(target: Target) -> Probe:
    assert target.probe is not None  # noqa: S101 - the rule needs it
    return target.probe


def _is_client_error(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


@rule(
    "run-start",
    "error",
    "start",
    asks="a start within 8 minutes",
    why="an instance whose container does not answer `/ping` with 200 within 8 minutes fails",
)
def starts(target: Target) -> Iterator[Finding]:
    """Yield why it does not start, or how long it takes."""
    assert target.program is not None  # noqa: S101 - the rule needs it
    where = target.label(target.program.path or target.program.module)
    if target.start_problem:
        what = target.start_problem.strip().splitlines()[-1]
        yield Finding(where, f"the server does not start: {what}", "Correct what it names.")
    seconds = target.probe.start_seconds if target.probe else None
    if seconds is not None and seconds > _START_SECONDS:
        yield Finding(
            where,
            f"the server starts in {seconds:.0f} s",
            "Load less, or set ContainerStartupHealthCheckTimeoutInSeconds.",
        )


@rule(
    "run-ping",
    "error",
    "server",
    asks="`GET /ping` answered with 200 within 2 s",
    why="SageMaker waits 2 s for each ping, and replaces instances that fail several",
)
def is_healthy(target: Target) -> Iterator[Finding]:
    """Yield pings that fail, or take too long."""
    pings = [_probe(target).ask("GET", "/ping") for _ in range(_PINGS)]
    slowest = max(ping.seconds for ping in pings)
    for reply, _ in pings:
        if reply.status_code != HTTPStatus.OK:
            yield Finding(
                _PING, f"the status is {reply.status_code}: {reply.text.strip()}", "See the log."
            )
            return
    if slowest > _PING_SECONDS:
        yield Finding(
            _PING, f"one of {_PINGS} pings took {slowest:.1f} s", "Answer pings without the model."
        )


def _unless_refused(
    target: Target, body: bytes, headers: dict[str, str], what: str, fix: str
) -> Iterator[Finding]:
    reply, _ = _probe(target).ask("POST", _INVOCATIONS, body, headers)
    if not _is_client_error(reply.status_code):
        yield Finding(f"{_INVOKE} with {what}", f"the status is {reply.status_code}", fix)


@rule(
    "run-unknown-type",
    "error",
    "server",
    asks="415, or another 4xx, for a content type that is not supported",
    why="callers and alarms take a 5xx for a fault of the model, and routers for one of the Region",
)
def refuses_unknown_types(target: Target) -> Iterator[Finding]:
    """Yield another status."""
    what = _UNKNOWN_TYPE["Content-Type"]
    fix = "Raise UnsupportedMediaTypeError, or annotate the input."
    return _unless_refused(target, b"x", _UNKNOWN_TYPE, what, fix)


@rule(
    "run-bad-body",
    "error",
    "server",
    asks="400, or another 4xx, for JSON that is not complete",
    why="the fault is the client's: a 5xx is counted as the model's",
)
def refuses_bad_bodies(target: Target) -> Iterator[Finding]:
    """Yield another status."""
    fix = "Raise DecodeError where the body cannot be read."
    return _unless_refused(target, b'{"a": [1,', _JSON, "half of a JSON document", fix)


@rule(
    "run-error-shape",
    "error",
    "server",
    asks=f"error bodies of one line, up to {_ERROR_BYTES} bytes",
    why="the caller gets the body inside a message, as OriginalMessage of a ModelError",
)
def has_short_errors(target: Target) -> Iterator[Finding]:
    """Yield bodies that a message cannot hold."""
    reply, _ = _probe(target).ask("POST", _INVOCATIONS, b"x", _UNKNOWN_TYPE)
    lines = reply.body.strip().splitlines()
    if len(reply.body) > _ERROR_BYTES or len(lines) > 1:
        yield Finding(
            _INVOKE,
            f"an error has {counted(len(reply.body), 'byte')} in {counted(len(lines), 'line')}",
            "Raise one of sagemaker_inference.errors with a short message.",
        )


@rule(
    "run-samples",
    "error",
    "samples",
    asks="a response with its Content-Type to each `request.*` beside the program",
    why="the caller gets the container's Content-Type, and a failure as a ModelError",
)
def answers_samples(target: Target) -> Iterator[Finding]:
    """Yield samples that are not answered."""
    for where, (reply, _) in _answers(target):
        if reply.status_code != HTTPStatus.OK:
            what = f"the status is {reply.status_code}: {_short(reply.text)}"
            yield Finding(where, what, "Run it with: sagemaker-inference invoke")
        elif not reply.content_type:
            yield Finding(where, "the response has no Content-Type", "Return a Response with one.")


@rule(
    "run-sample-time",
    "error",
    "samples",
    asks="each of these responses within 60 s",
    why="a container must respond to requests within 60 s, but for streams and asynchronous ones",
)
def answers_in_time(target: Target) -> Iterator[Finding]:
    """Yield samples that take too long."""
    for where, (_, seconds) in _answers(target):
        if seconds > _ANSWER_SECONDS:
            yield Finding(where, f"it took {seconds:.0f} s", "Predict faster, or yield a stream.")


def _answers(target: Target) -> Iterator[tuple[str, Timed]]:
    for sample in target.samples:
        headers = {"Content-Type": sample.content_type}
        timed = _probe(target).ask("POST", _INVOCATIONS, sample.path.read_bytes(), headers)
        yield target.label(sample.path), timed


def _short(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


@rule(
    "run-size",
    "error",
    "server",
    asks=f"bodies of {_PAYLOAD_MB} MB let through",
    why=f"InvokeEndpoint takes bodies up to {_PAYLOAD_MB} MB, and passes on no larger ones",
)
def takes_large_bodies(target: Target) -> Iterator[Finding]:
    """Yield a limit that is too low, or a large body that breaks the connection."""
    body = bytes(_PAYLOAD_MB * _MEGABYTE)
    too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    try:
        reply, _ = _probe(target).ask("POST", _INVOCATIONS, body, _UNKNOWN_TYPE)
    except OSError as error:
        yield Finding(f"{_INVOKE} with {_PAYLOAD_MB} MB", f"no answer: {error}", "See the log.")
        return
    if reply.status_code == too_large:
        yield Finding(
            f"{_INVOKE} with {_PAYLOAD_MB} MB",
            "the status is 413",
            "Raise the limit, here SAGEMAKER_MAX_PAYLOAD_IN_MB.",
        )


@rule(
    "run-paths",
    "warning",
    "server",
    asks="200 at `/metrics`, 404 at paths that are not there, and a JSON object or 404 at "
    "`/execution-parameters`",
    why="SageMaker scrapes /metrics on port 8080, and takes 404 at /execution-parameters for the "
    "defaults of batch transform",
)
def has_paths(target: Target) -> Iterator[Finding]:
    """Yield other statuses."""
    for path, wanted, fix in (
        ("/metrics", HTTPStatus.OK, "Leave SAGEMAKER_METRICS at its default."),
        ("/no-such-path", HTTPStatus.NOT_FOUND, "Answer unknown paths with 404."),
    ):
        reply, _ = _probe(target).ask("GET", path)
        if reply.status_code != wanted:
            yield Finding(f"GET {path}", f"the status is {reply.status_code}", fix)
    reply, _ = _probe(target).ask("GET", _PARAMETERS)
    fix = 'Answer with an object such as {"MaxConcurrentTransforms": 2}, or with 404.'
    if reply.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        yield Finding(f"GET {_PARAMETERS}", f"the status is {reply.status_code}", fix)
    elif reply.status_code == HTTPStatus.OK and not _is_object(reply.body):
        yield Finding(f"GET {_PARAMETERS}", f"the answer is {_short(reply.text)!r}", fix)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


@rule(
    "run-streaming",
    "error",
    "samples",
    asks="chunks, where the program yields its answer",
    why="InvokeEndpointWithResponseStream passes on what arrives in HTTP's chunked encoding",
)
def streams(target: Target) -> Iterator[Finding]:
    """Yield a stream that comes in one piece."""
    if target.program is None or not target.inspection.streams:
        return
    sample = target.samples[0]
    headers = {"Content-Type": sample.content_type, "Accept": "application/jsonlines"}
    body = sample.path.read_bytes()
    with _probe(target).endpoint.open("POST", _INVOCATIONS, body, headers) as response:
        encoding = response.getheader("Transfer-Encoding", "")
        size = len(response.read())
    if encoding != "chunked" and response.status == HTTPStatus.OK:
        what = f"the answer of {counted(size, 'byte')} has no chunks"
        yield Finding(target.label(sample.path), what, "Yield more than one item for this sample.")


@rule(
    "run-sigterm",
    "error",
    "process",
    asks="an end within 30 s of SIGTERM, with exit code 0",
    why="SageMaker sends SIGTERM, and SIGKILL 30 s later, which loses what is in progress",
)
def ends(target: Target) -> Iterator[Finding]:
    """Yield a server that does not end as it should."""
    server = _probe(target).server
    assert server is not None  # noqa: S101 - the rule needs it
    began = time.monotonic()
    code = server.terminate()
    seconds = time.monotonic() - began
    if code or seconds > _STOP_SECONDS:
        yield Finding(
            "SIGTERM",
            f"the server ended with {code} after {seconds:.1f} s",
            "Leave signals to the server, and end threads in @on_shutdown.",
        )
