"""The environment variables that set the server up, each read and checked in one place."""

from __future__ import annotations

import math
import os
import re
from typing import Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import parameters
from sagemaker_inference._errors import StartError

SAGEMAKER_BASE_PATH: Final = "/opt/ml"
DEFAULT_MODULE_NAME: Final = "inference.py"
DEFAULT_PORT: Final = 8080
# SageMaker waits 60 s for an answer of a real-time endpoint.
DEFAULT_TIMEOUT_SECONDS: Final = 60
DEFAULT_STARTUP_TIMEOUT_SECONDS: Final = 600
# InvokeEndpoint takes bodies up to 25 MB.
DEFAULT_MAX_PAYLOAD_IN_MB: Final = 25
# MMS refuses ports from 32767 on (ConfigManager reads them as a signed short).
HIGHEST_PORT: Final = 32766

MAX_BATCH_SIZE_ENV: Final = "SAGEMAKER_MAX_BATCH_SIZE"
MAX_BATCH_DELAY_ENV: Final = "SAGEMAKER_MAX_BATCH_DELAY"
PRELOAD_ENV: Final = "SAGEMAKER_PRELOAD"
ALLOW_PICKLE_ENV: Final = "SAGEMAKER_ALLOW_PICKLE"
LOG_FORMAT_ENV: Final = "SAGEMAKER_LOG_FORMAT"

_ON: Final = ("true", "1", "yes", "on")
_OFF: Final = ("", "false", "0", "no", "off")
_RANGE: Final = re.compile(r"(\d+)-(\d+)")
_MEDIA_TYPE: Final = re.compile(r"[^/\s]+/.+")
_LOG_FORMAT: Final = re.compile(r"(?i:json|text)")

base_dir: str = os.environ.get(parameters.BASE_PATH_ENV) or SAGEMAKER_BASE_PATH


class EnvironmentVariableError(StartError, ValueError):
    """An environment variable has a value that cannot be used; names both."""


def is_set(name: str) -> bool:
    """Whether a switch is on: "true", "1", "yes" or "on", in any case."""
    return os.environ.get(name, "").strip().lower() in _ON


def check() -> None:
    """Look at the variables that are read where nobody could be told of a malformed value.

    Raises:
        EnvironmentVariableError: one has such a value; the message names both.
    """
    for name in (PRELOAD_ENV, ALLOW_PICKLE_ENV, parameters.MULTI_MODEL_ENV):
        text = os.environ.get(name, "")
        if text.strip().lower() not in (*_ON, *_OFF):
            message = f"{name}={text!r} is neither true nor false. Set one, or leave it out."
            raise EnvironmentVariableError(message)
    for name, is_fit, example in (
        (parameters.SAFE_PORT_RANGE_ENV, _is_range, "25000-25999"),
        (parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV, _MEDIA_TYPE.fullmatch, "application/json"),
        (LOG_FORMAT_ENV, _LOG_FORMAT.fullmatch, "json"),
    ):
        text = os.environ.get(name, "").strip()
        if text and not is_fit(text):
            message = f"{name}={text!r} cannot be used. Set it to e.g. {example}, or leave it out."
            raise EnvironmentVariableError(message)


def _is_range(text: str) -> bool:
    found = _RANGE.fullmatch(text)
    return found is not None and int(found[1]) <= int(found[2])


def number(
    name: str, default: float | None, unit: str, *, least: float = 0, whole: bool = True
) -> float | None:
    """A number from the environment; empty counts as absent.

    Raises:
        EnvironmentVariableError: the value is no number, or less than ``least``.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not value >= least or value == math.inf:
        kind = "a whole number" if whole else "a number"
        mend = f"{max(least, 1):g}, or leave it out." if default is None else f"{default:g}."
        message = (
            f"{name}={text!r} is not {kind} of {unit}, {least:g} or more. Set it, e.g. to {mend}"
        )
        raise EnvironmentVariableError(message)
    return value


# os.path: every program imports this module, and pathlib would be a tenth of what that costs.
model_dir: str = os.path.join(  # noqa: PTH118
    base_dir, "models" if is_set(parameters.MULTI_MODEL_ENV) else "model"
)
code_dir: str = os.path.join(model_dir, "code")  # noqa: PTH118


class Environment:
    """A snapshot of the environment variables, under the AWS toolkit's names.

    Raises:
        EnvironmentVariableError: a variable has a malformed value; the message names both.
    """

    def __init__(self) -> None:
        get = os.environ.get
        # SageMaker's SDK sends an empty SAGEMAKER_PROGRAM where there is no entry point.
        self._module_name = get(parameters.USER_PROGRAM_ENV) or DEFAULT_MODULE_NAME
        self._model_server_timeout = _whole(
            parameters.MODEL_SERVER_TIMEOUT_ENV, DEFAULT_TIMEOUT_SECONDS, "seconds", least=1
        )
        self._model_server_timeout_seconds = _optional_whole(
            parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV, "seconds", least=1
        )
        self._model_server_workers = get(parameters.MODEL_SERVER_WORKERS_ENV)
        self._startup_timeout = _whole(
            parameters.STARTUP_TIMEOUT_ENV, DEFAULT_STARTUP_TIMEOUT_SECONDS, "seconds", least=1
        )
        self._default_accept = get(parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV) or content_types.JSON
        self._inference_http_port = get(parameters.BIND_TO_PORT_ENV) or str(DEFAULT_PORT)
        self._safe_port_range = get(parameters.SAFE_PORT_RANGE_ENV)
        self._vmargs = get(parameters.MODEL_SERVER_VMARGS) or ""
        self._max_payload_in_mb = _optional_whole(parameters.MAX_REQUEST_SIZE, "megabytes", least=1)

    @property
    def module_name(self) -> str:
        """The user's module, without ``.py``."""
        return self._module_name.removesuffix(".py")

    @property
    def model_server_timeout(self) -> int:
        """Time limit of a prediction as SAGEMAKER_MODEL_SERVER_TIMEOUT sets it, in seconds."""
        return self._model_server_timeout

    @property
    def model_server_timeout_seconds(self) -> int | None:
        """Time limit of a prediction in seconds; where set it goes before the other."""
        return self._model_server_timeout_seconds

    @property
    def model_server_workers(self) -> str | None:
        """Number of model processes, as text; None leaves it to the machine."""
        return self._model_server_workers

    @property
    def startup_timeout(self) -> int:
        """Time limit of loading the model, in seconds."""
        return self._startup_timeout

    @property
    def default_accept(self) -> str:
        """What to answer with where the client accepts anything."""
        return self._default_accept

    @property
    def inference_http_port(self) -> str:
        """The port that is served, as text."""
        return self._inference_http_port

    @property
    def management_http_port(self) -> str:
        """The port of the management API in multi-model mode: the one that is served."""
        return self._inference_http_port

    http_port = inference_http_port

    @property
    def safe_port_range(self) -> str | None:
        """Ports that a container may use besides, e.g. "25000-25999"."""
        return self._safe_port_range

    @property
    def vmargs(self) -> str:
        """Further arguments for the Java virtual machine."""
        return self._vmargs

    @property
    def max_request_size(self) -> int | None:
        """Largest request and response in bytes; None stands for the default of 25 MB."""
        return None if self._max_payload_in_mb is None else self._max_payload_in_mb * 1024 * 1024


def _whole(name: str, default: int, unit: str, *, least: int) -> int:
    value = number(name, default, unit, least=least)
    return default if value is None else int(value)


def _optional_whole(name: str, unit: str, *, least: int) -> int | None:
    value = number(name, None, unit, least=least)
    return None if value is None else int(value)
