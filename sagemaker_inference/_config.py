"""What the environment says, read once and checked; records that cross processes hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _mms_variables as mms
from sagemaker_inference import _variables as variables
from sagemaker_inference._parsers import MEGABYTE

if TYPE_CHECKING:
    from sagemaker_inference._variable import Variable

_CORS_METHODS: Final = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - SageMaker reaches a container from outside


@dataclass(frozen=True, slots=True)
class Config:
    """What the environment says, read and checked once.

    Attributes:
        port: the port to serve.
        workers: how many workers a model has; None leaves it to the machine.
        preload: whether the model is loaded once and the workers are forked.
        timeout: longest prediction, in seconds.
        stream_idle_timeout: longest time between two items of a stream, in seconds.
        stream_timeout: longest stream, in seconds.
        stream_heartbeat: how long an event stream may be quiet until its client is sent a comment,
            in seconds; 0 for ever.
        websocket_idle_timeout, websocket_ping_interval: of WebSockets, in seconds; 0 for none.
        startup_timeout: longest loading of a model, in seconds.
        payload_limit: largest body of a request, in bytes.
        response_limit: largest body of a response, in bytes.
        max_batch_size, max_batch_delay: override the predictor's; None leaves them.
        max_concurrency: overrides the predictor's; None leaves it.
        sessions: whether there are sessions for a program without `@session_start`.
        session_expiration: how long a session is kept after its last request, in seconds.
        max_sessions: how many a worker keeps.
        default_accept: what to answer with where the client accepts anything, or None.
        log_level: a level of the module logging.
        log_format: "json" or "text".
        client_header_timeout, client_idle_timeout, client_body_timeout, client_write_timeout: how
            long clients may take, in seconds.
        max_connections: how many connections of clients there may be; None leaves it to the limit
            of descriptors.
        max_queue_size: how many requests may wait for a worker.
        cors_origin, cors_methods, cors_headers: which pages of browsers may send which requests:
            values of response headers; "" for none.
        vmargs: further arguments for Java.
        allow_pickle: whether NPY and NPZ bodies may hold Python objects.
        multi_model: whether models are loaded and unloaded over HTTP.
        metrics: "prometheus" (`GET /metrics`), "emf" (log lines), "both", or "" for neither.
        ping_while_loading: whether the port is open while the model loads.
        max_payload_in_mb: the largest body where that is set; else None.
        max_concurrent_transforms, batch_strategy: what a batch transform job is to do; None leaves
            it to the program.
        is_batch: whether this is a batch transform job.
        capture: the folder for captured requests; "" for none.
        capture_percentage: how many of them are captured.
        capture_limit: the size of that folder above which nothing is captured, in bytes.
        on_bad_record: "fail" or "placeholder"; None leaves it to the program.
        gate: what workers of `sagemaker-inference dev` wait for; no variable sets it, and elsewhere
            it is "".
        workers_name, timeout_name, max_batch_size_name: what sets these, for messages: a variable,
            or a parameter of the request that has loaded a model.
    """

    port: int
    workers: int | None
    preload: bool
    timeout: float
    stream_idle_timeout: float
    stream_timeout: float
    stream_heartbeat: int
    websocket_idle_timeout: int
    websocket_ping_interval: int
    startup_timeout: float
    payload_limit: int
    response_limit: int
    max_batch_size: int | None
    max_batch_delay: float | None
    max_concurrency: int | None
    sessions: bool
    session_expiration: int
    max_sessions: int
    default_accept: str | None
    log_level: int
    log_format: str
    client_header_timeout: int
    client_idle_timeout: int
    client_body_timeout: int
    client_write_timeout: int
    max_connections: int | None
    max_queue_size: int
    cors_origin: str
    cors_methods: str
    cors_headers: str
    vmargs: str
    allow_pickle: bool
    multi_model: bool
    metrics: str
    ping_while_loading: bool
    max_payload_in_mb: int | None
    max_concurrent_transforms: int | None
    batch_strategy: str | None
    is_batch: bool
    on_bad_record: str | None
    capture: str
    capture_percentage: float
    capture_limit: int
    gate: str = ""
    workers_name: str = variables.WORKERS.name
    timeout_name: str = variables.TIMEOUT_SECONDS.name
    max_batch_size_name: str = variables.MAX_BATCH_SIZE.name

    @classmethod
    def from_environment(cls) -> Config:
        """Read the variables.

        Raises:
            EnvironmentVariableError: one of them has a value that cannot be used.
        """
        for variable in (*variables.VARIABLES, *mms.VARIABLES):
            variable.read()
        return cls(
            port=_ours(variables.PORT, mms.port()),
            workers=variables.WORKERS.read() or mms.WORKERS.read() or None,
            preload=(variables.PRELOAD if variables.PRELOAD.text else mms.PRELOAD).read(),
            timeout=_timeout(),
            stream_idle_timeout=variables.STREAM_IDLE_TIMEOUT.read(),
            stream_timeout=variables.STREAM_TIMEOUT.read(),
            stream_heartbeat=variables.STREAM_HEARTBEAT.read(),
            websocket_idle_timeout=variables.WEBSOCKET_IDLE_TIMEOUT.read(),
            websocket_ping_interval=variables.WEBSOCKET_PING_INTERVAL.read(),
            startup_timeout=variables.STARTUP_TIMEOUT.read(),
            payload_limit=_payload_limit(),
            response_limit=_response_limit(),
            max_batch_size=variables.MAX_BATCH_SIZE.read(),
            max_batch_delay=variables.MAX_BATCH_DELAY.read(),
            max_concurrency=variables.MAX_CONCURRENCY.read(),
            sessions=variables.SESSIONS.read(),
            session_expiration=variables.SESSION_EXPIRATION.read(),
            max_sessions=variables.MAX_SESSIONS.read(),
            default_accept=variables.DEFAULT_ACCEPT.read(),
            log_level=variables.LOG_LEVEL.read(),
            log_format=variables.LOG_FORMAT.read(),
            client_header_timeout=variables.CLIENT_HEADER_TIMEOUT.read(),
            client_idle_timeout=variables.CLIENT_IDLE_TIMEOUT.read(),
            client_body_timeout=variables.CLIENT_BODY_TIMEOUT.read(),
            client_write_timeout=variables.CLIENT_WRITE_TIMEOUT.read(),
            max_connections=variables.MAX_CONNECTIONS.read(),
            max_queue_size=_ours(variables.MAX_QUEUE_SIZE, mms.QUEUE.read()),
            cors_origin=variables.CORS_ORIGIN.read() or mms.text(mms.CORS_ORIGIN),
            cors_methods=_cors(mms.CORS_METHODS, _CORS_METHODS),
            cors_headers=_cors(mms.CORS_HEADERS, "*"),
            vmargs=variables.VMARGS.read(),
            allow_pickle=variables.ALLOW_PICKLE.read(),
            multi_model=variables.MULTI_MODEL.read(),
            metrics=variables.METRICS.read(),
            ping_while_loading=variables.PING_WHILE_LOADING.read(),
            max_payload_in_mb=variables.MAX_PAYLOAD_IN_MB.read(),
            max_concurrent_transforms=variables.MAX_CONCURRENT_TRANSFORMS.read(),
            batch_strategy=variables.BATCH_STRATEGY.read(),
            is_batch=variables.BATCH.read(),
            on_bad_record=variables.ON_BAD_RECORD.read(),
            capture=variables.CAPTURE.read(),
            capture_percentage=variables.CAPTURE_PERCENTAGE.read(),
            capture_limit=variables.MAX_CAPTURE_IN_MB.read() * MEGABYTE,
        )


def _ours(variable: Variable[int], theirs: int | None) -> int:
    """A variable of ours, or where it is unset what Multi Model Server's says, or the default."""
    return variable.read() if variable.text else theirs or variable.default


def _cors(name: str, usual: str) -> str:
    return mms.text(name) or (usual if variables.CORS_ORIGIN.text else "")


def _timeout() -> int:
    if not variables.TIMEOUT_SECONDS.text and not variables.TIMEOUT.text:
        is_batch = variables.BATCH.read()
        return mms.timeout() or (variables.BATCH_TIMEOUT if is_batch else variables.TIMEOUT.default)
    return variables.TIMEOUT_SECONDS.read() or variables.TIMEOUT.read()


def _payload_limit() -> int:
    in_mb = variables.MAX_PAYLOAD_IN_MB.read()
    if in_mb is None:
        return mms.MAX_REQUEST_SIZE.read() or _usual_limit()
    return variables.bytes_of(in_mb)


def _response_limit() -> int:
    in_mb = variables.MAX_RESPONSE_IN_MB.read()
    if in_mb is None:
        return mms.MAX_RESPONSE_SIZE.read() or variables.DEFAULT_MAX_RESPONSE_IN_MB * MEGABYTE
    return in_mb * MEGABYTE


def _usual_limit() -> int:
    return (
        variables.BATCH_PAYLOAD_IN_MB
        if variables.BATCH.read()
        else variables.DEFAULT_MAX_PAYLOAD_IN_MB
    ) * MEGABYTE
