"""What the supervisor is told to serve, and how."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Final

from sagemaker_inference import environment, parameters
from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._frontends.mms.launcher import INVOCATIONS
from sagemaker_inference._log import get_logger, warn_of_unknown_level
from sagemaker_inference._os import resources
from sagemaker_inference._program.location import Program
from sagemaker_inference.environment import Environment

logger = get_logger()

_MEGABYTE: Final = 1024 * 1024
# The front end counts bytes in a signed int of 32 bits.
_MOST_PAYLOAD_IN_MB: Final = 2047
# Of each of many models, whose programs are not known when the front end starts. One connection
# would leave a process idle while the front end fetches its next request.
_CONNECTIONS_OF_A_MODEL: Final = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served and how.

    Attributes:
        program: the user's program, or None where ``handler_service`` brings its own.
        handler_service: a handler service written for MMS, or "".
        model_dir: where the model is.
        host, port: what is served.
        workers: model processes.
        gpus: the GPU of each process in turn; empty for none.
        payload_limit: most bytes of a body.
        timeout: seconds a prediction may take.
        startup_timeout: seconds a model may take to load.
        vmargs: further arguments for Java.
        preload: whether the model is loaded once and the processes are forked from that.
        slots: connections per process where that is known before the program is imported here,
            else 0; the front end can then start at once.
        multi_model: whether models are loaded and unloaded over HTTP; each has ``workers``
            processes then, and ``model_dir`` is not used.
        path: where the model is invoked, for the access log.
    """

    program: Program | None
    handler_service: str
    model_dir: str
    host: str
    port: int
    workers: int
    gpus: list[str]
    payload_limit: int
    timeout: float
    startup_timeout: float
    vmargs: str
    preload: bool = False
    slots: int = 0
    multi_model: bool = False
    path: str = INVOCATIONS

    def dump(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Settings:
        """From text."""
        fields = json.loads(text)
        if fields["program"] is not None:
            fields["program"] = Program(**fields["program"])
        return cls(**fields)


def settings_from_environment(
    served: Program | str,
    model_dir: str,
    *,
    host: str = launcher.ALL_ADDRESSES,
    port: int | None = None,
    slots: int = 0,
) -> Settings:
    """Settings for this machine, as the environment variables say.

    Args:
        served: a program, or a handler service; "" where each of many models brings its program.
        model_dir: as in `Settings`.
        host: as in `Settings`.
        port: as in `Settings`; None leaves it to the environment.
        slots: as in `Settings`.

    Raises:
        StartError: a variable has a value that cannot be used, or two do not go together.
    """
    env = Environment()
    environment.check()
    warn_of_unknown_level()
    gpus = resources.gpus()
    multi_model = environment.is_set(parameters.MULTI_MODEL_ENV)
    workers = environment.number(
        parameters.MODEL_SERVER_WORKERS_ENV,
        # Where memory is for many models, one more process of each is for whoever asks for it.
        1 if multi_model else len(gpus) or resources.usable_cpus(),
        "model processes",
        least=1,
    )
    variable = parameters.MODEL_SERVER_TIMEOUT_ENV
    if env.model_server_timeout_seconds is None and os.environ.get(variable, "").strip():
        seconds = env.model_server_timeout
        logger.warning("%s=%d counts seconds (minutes in Multi Model Server)", variable, seconds)
    if env.max_request_size and env.max_request_size > _MOST_PAYLOAD_IN_MB * _MEGABYTE:
        message = (
            f"{parameters.MAX_REQUEST_SIZE}={env.max_request_size // _MEGABYTE} is over "
            f"{_MOST_PAYLOAD_IN_MB}, the most that the front end takes. Set it to that or less."
        )
        raise StartError(message)
    if port is not None and not isinstance(port, int):
        message = f"serve(__name__, port={port!r}): a port is a whole number, e.g. port=8080."
        raise StartError(message)
    if port is None:
        port = int(environment.number(parameters.BIND_TO_PORT_ENV, 8080, "a port", least=1) or 0)
    return Settings(
        program=served if isinstance(served, Program) else None,
        handler_service=served if isinstance(served, str) else "",
        # A handler service runs in that folder, where a relative path would lead elsewhere.
        model_dir=os.path.abspath(model_dir) if isinstance(served, str) else model_dir,  # noqa: PTH100
        host=host,
        port=port,
        workers=int(workers or 1),
        gpus=gpus,
        payload_limit=env.max_request_size or environment.DEFAULT_MAX_PAYLOAD_IN_MB * _MEGABYTE,
        timeout=env.model_server_timeout_seconds or env.model_server_timeout,
        startup_timeout=env.startup_timeout,
        vmargs=env.vmargs,
        preload=_preload(gpus, multi_model=multi_model),
        slots=_CONNECTIONS_OF_A_MODEL if multi_model else slots,
        multi_model=multi_model,
    )


def _preload(gpus: list[str], *, multi_model: bool) -> bool:
    if not environment.is_set(environment.PRELOAD_ENV):
        return False
    if gpus:
        message = (
            f"{environment.PRELOAD_ENV} is set on a machine with GPUs, whose memory a fork does "
            "not share. Leave it out: every GPU gets a process that loads the model itself."
        )
        raise StartError(message)
    if multi_model:
        message = (
            f"{environment.PRELOAD_ENV} and {parameters.MULTI_MODEL_ENV} do not go together: the "
            "front end starts the processes of many models. Leave the first out."
        )
        raise StartError(message)
    return True
