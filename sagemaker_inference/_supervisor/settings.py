"""What the supervisor is told to serve, and how."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Final

from sagemaker_inference import _config
from sagemaker_inference._config import Config
from sagemaker_inference._errors import StartError
from sagemaker_inference._ipc.messages import INVOCATIONS, MODEL_NAME
from sagemaker_inference._log import get_logger, warn_of_unknown_level
from sagemaker_inference._os import resources
from sagemaker_inference._program.location import Program

logger = get_logger()

ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - SageMaker reaches a container from outside


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
        multi_model: whether models are loaded and unloaded over HTTP; each has ``workers``
            processes then, and ``model_dir`` is not used.
        path: where the model is invoked, for the access log.
        model_name: the model's name, for handlers.
        max_batch_size, max_batch_delay: most requests of a batch and seconds to wait for them,
            where whoever loads the model says so; None leaves them to the program.
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
    multi_model: bool = False
    path: str = INVOCATIONS
    model_name: str = MODEL_NAME
    max_batch_size: int | None = None
    max_batch_delay: float | None = None

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
    host: str = ALL_ADDRESSES,
    port: int | None = None,
) -> Settings:
    """Settings for this machine, as the environment variables say.

    Args:
        served: a program, or a handler service; "" where each of many models brings its program.
        model_dir: as in `Settings`.
        host: as in `Settings`.
        port: as in `Settings`; None leaves it to the environment.

    Raises:
        StartError: a variable has a value that cannot be used, or two do not go together.
    """
    config = Config.from_environment()
    warn_of_unknown_level()
    gpus = resources.gpus()
    # Where memory is for many models, one more worker of each is for whoever asks for it.
    workers = config.workers or (1 if config.multi_model else len(gpus) or resources.usable_cpus())
    if not _config.TIMEOUT_SECONDS.text and _config.TIMEOUT.text:
        logger.warning(
            "%s=%d counts seconds (minutes in Multi Model Server)",
            _config.TIMEOUT.name,
            config.timeout,
        )
    if port is not None and not isinstance(port, int):
        message = f"serve(__name__, port={port!r}): a port is a whole number, e.g. port=8080."
        raise StartError(message)
    return Settings(
        program=served if isinstance(served, Program) else None,
        handler_service=served if isinstance(served, str) else "",
        # A handler service runs in that folder, where a relative path would lead elsewhere.
        model_dir=os.path.abspath(model_dir) if isinstance(served, str) else model_dir,  # noqa: PTH100
        host=host,
        port=config.port if port is None else port,
        workers=workers,
        gpus=gpus,
        payload_limit=config.payload_limit,
        timeout=config.timeout,
        startup_timeout=config.startup_timeout,
        vmargs=config.vmargs,
        preload=_preload(config, gpus),
        multi_model=config.multi_model,
    )


def _preload(config: Config, gpus: list[str]) -> bool:
    if not config.preload:
        return False
    if gpus:
        message = (
            f"{_config.PRELOAD.name} is set on a machine with GPUs, whose memory a fork does "
            "not share. Leave it out: every GPU gets a worker that loads the model itself."
        )
        raise StartError(message)
    return True
