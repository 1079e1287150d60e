"""The environment variables of Multi Model Server that SageMaker code sets.

Its Java takes any variable ``MMS_...`` for one of its settings. Here a limit concerns workers,
supervisor and front end alike, so Java reads none by itself: a variable is one of ours under
another name, or is passed on, or stops the start because what it asks for cannot be had. Those that
tune what is not there are named in the log.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

from sagemaker_inference import _parsers
from sagemaker_inference._errors import StartError
from sagemaker_inference._variable import Variable

_PREFIX: Final = "MMS_"
# Java's int.
_MOST_INT: Final = 2**31 - 1
# What the front end can count, in whole megabytes. Code for Multi Model Server asks for 2 GB.
_MOST_PAYLOAD: Final = 2047 * _parsers.MEGABYTE
_ADDRESS: Final = re.compile(r"http://([^/:\[\]]+):(\d{1,5})/?")


def _whole(unit: str, example: str, most: int, least: int = 1) -> Any:
    return _parsers.number(unit, least=least, example=example, whole=True, most=most)


def _address(text: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match[2]) <= _parsers.HIGHEST_PORT:
        message = (
            "is not http://HOST:PORT, which is all that can be served. Set it, e.g. to "
            "http://0.0.0.0:8080, or leave it out."
        )
        raise ValueError(message)
    return match[1], int(match[2])


WORKERS: Final = Variable[int | None](
    "MMS_DEFAULT_WORKERS_PER_MODEL",
    _whole("workers", "1, or leave it out.", _parsers.MOST_WORKERS, least=0),
    None,
    "`SAGEMAKER_MODEL_SERVER_WORKERS`; 0 leaves it to the machine",
)
PRELOAD: Final = Variable(
    "MMS_PRELOAD_MODEL", _parsers.switch, default=False, meaning="`SAGEMAKER_PRELOAD`"
)
TIMEOUT_SECONDS: Final = Variable[int | None](
    "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS",
    _whole("seconds", "60, or leave it out.", _parsers.MOST_SECONDS),
    None,
    "`SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS`",
)
TIMEOUT: Final = Variable[int | None](
    "MMS_DEFAULT_RESPONSE_TIMEOUT",
    _whole("seconds", "60, or leave it out.", _parsers.MOST_SECONDS),
    None,
    "`SAGEMAKER_MODEL_SERVER_TIMEOUT`, in seconds as well",
)
MAX_REQUEST_SIZE: Final = Variable[int | None](
    "MMS_MAX_REQUEST_SIZE",
    _whole("bytes", "26214400, or leave it out.", _MOST_PAYLOAD),
    None,
    "`SAGEMAKER_MAX_PAYLOAD_IN_MB`, in bytes",
)
MAX_RESPONSE_SIZE: Final = Variable[int | None](
    "MMS_MAX_RESPONSE_SIZE",
    _whole("bytes", "26214400, or leave it out.", _MOST_PAYLOAD),
    None,
    "`SAGEMAKER_MAX_RESPONSE_IN_MB`, in bytes",
)
ADDRESS: Final = Variable[tuple[str, int] | None](
    "MMS_INFERENCE_ADDRESS", _address, None, "`SAGEMAKER_BIND_TO_PORT`, and the host of `serve`"
)
QUEUE: Final = Variable[int | None](
    "MMS_JOB_QUEUE_SIZE",
    _whole("requests", "100, or leave it out.", _MOST_INT),
    None,
    "`SAGEMAKER_MAX_QUEUE_SIZE`",
)
THREADS: Final = Variable[int | None](
    "MMS_NUMBER_OF_NETTY_THREADS",
    _whole("threads", "1, or leave it out.", _parsers.MOST_WORKERS, least=0),
    None,
    "threads of the front end; 0 leaves it to the machine",
)
VARIABLES: Final[tuple[Variable[Any], ...]] = (
    WORKERS,
    PRELOAD,
    TIMEOUT_SECONDS,
    TIMEOUT,
    MAX_REQUEST_SIZE,
    MAX_RESPONSE_SIZE,
    ADDRESS,
    QUEUE,
    THREADS,
)
# Which pages browsers let send requests: values of response headers.
CORS_ORIGIN: Final = "MMS_CORS_ALLOWED_ORIGIN"
CORS_METHODS: Final = "MMS_CORS_ALLOWED_METHODS"
CORS_HEADERS: Final = "MMS_CORS_ALLOWED_HEADERS"
PASSED_ON: Final = (CORS_ORIGIN, CORS_METHODS, CORS_HEADERS)
_TLS: Final = "SageMaker's platform, or a proxy, ends TLS in front of the container"
REFUSED: Final = {
    "MMS_MANAGEMENT_ADDRESS": "models are managed on the port that is served",
    "MMS_LOAD_MODELS": "the server loads the model by itself, or by POST /models",
    "MMS_DEFAULT_SERVICE_HANDLER": "pass it to model_server.start_model_server(handler_service)",
    "MMS_NUMBER_OF_GPU": "set CUDA_VISIBLE_DEVICES to the GPUs that may be used",
    "MMS_BLACKLIST_ENV_VARS": "workers have all variables of the container: set fewer there",
    "MMS_KEYSTORE": _TLS,
    "MMS_KEYSTORE_PASS": _TLS,
    "MMS_KEYSTORE_TYPE": _TLS,
    "MMS_CERTIFICATE_FILE": _TLS,
    "MMS_PRIVATE_KEY_FILE": _TLS,
}
# Read by Multi Model Server's Python in the workers of a handler service.
_OF_WORKERS: Final = ("MMS_DECODE_INPUT_REQUEST",)


def text(name: str) -> str:
    """What the environment says, "" where it is unset."""
    return os.environ.get(name, "").strip()


def port() -> int | None:
    """The port to serve, or None."""
    address = ADDRESS.read()
    return None if address is None else address[1]


def host() -> str | None:
    """The address to serve, or None."""
    address = ADDRESS.read()
    return None if address is None else address[0]


def timeout() -> int | None:
    """The longest prediction in seconds, or None."""
    return TIMEOUT_SECONDS.read() or TIMEOUT.read()


def check() -> list[str]:
    """Look at all variables of Multi Model Server when a server starts.

    Returns:
        The names of those that have no effect.

    Raises:
        StartError: one of them asks for what this server does not do.
    """
    without_effect = []
    known = {variable.name for variable in VARIABLES} | {*PASSED_ON, *_OF_WORKERS}
    for name in sorted(os.environ):
        if not name.startswith(_PREFIX) or not text(name) or name in known:
            continue
        if name in REFUSED:
            message = f"{name}={text(name)!r} is not supported: {REFUSED[name]}. Unset it."
            raise StartError(message)
        without_effect.append(name)
    return without_effect
