"""What the supervisor is told to serve, and how."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _mms_variables as mms
from sagemaker_inference import _variables
from sagemaker_inference._config import ALL_ADDRESSES, Config
from sagemaker_inference._errors import StartError
from sagemaker_inference._ipc.messages import MODEL_NAME
from sagemaker_inference._log import get_logger, warn_of_unknown_level
from sagemaker_inference._os import resources
from sagemaker_inference._program.location import Program
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._variable import Variable

logger = get_logger()

# What these parameters of `serve` override.
_TRANSFORMS: Final[dict[str, Variable[Any]]] = {
    "max_concurrent_transforms": _variables.MAX_CONCURRENT_TRANSFORMS,
    "batch_strategy": _variables.BATCH_STRATEGY,
    "max_payload_in_mb": _variables.MAX_PAYLOAD_IN_MB,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served and how.

    Attributes:
        config: what the environment says; for one of many models, with what whoever loads it asks
            for.
        program: the user's program, or None where ``handler_service`` brings its own.
        handler_service: a handler service written for MMS, or "".
        model_dir: where the model is; not used where models are loaded over HTTP.
        host: the address that is served.
        workers: how many workers a model has.
        gpus: the GPU of each worker in turn; empty for none.
        path: where the model is invoked, for the access log.
        model_name: the model's name, for handlers.
        requirements: a file of packages that are installed first, or "". Where neither a program
            nor a handler service is given, the program is looked for afterwards.
        openapi: the description of the program for ``/openapi.json``, or "".
    """

    config: Config
    program: Program | None
    handler_service: str
    model_dir: str
    host: str
    workers: int
    gpus: list[str]
    path: str = INVOCATIONS
    model_name: str = MODEL_NAME
    requirements: str = ""
    openapi: str = ""

    def dump(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Settings:
        """From text."""
        fields = json.loads(text)
        fields["config"] = Config(**fields["config"])
        if fields["program"] is not None:
            fields["program"] = Program(**fields["program"])
        return cls(**fields)


def settings_from_environment(
    served: Program | str,
    model_dir: str,
    *,
    host: str = ALL_ADDRESSES,
    port: int | None = None,
    **transforms: int | str | None,
) -> Settings:
    """Settings for this machine, as the environment variables say.

    Args:
        served: a program, or a handler service; "" where each of many models brings its program.
        model_dir: as in `Settings`.
        host: as in `Settings`.
        port: as in `Settings`; None leaves it to the environment.
        **transforms: what a batch transform job is to do, as in `Config`; the same for None.

    Raises:
        StartError: a variable has a value that cannot be used, or two do not go together.
    """
    if without_effect := mms.check():
        logger.warning("%s: no effect in this server", ", ".join(without_effect))
    config = _with_transforms(Config.from_environment(), transforms)
    warn_of_unknown_level()
    gpus = resources.gpus()
    # Where memory is for many models, one more worker of each is for whoever asks for it.
    workers = config.workers or (1 if config.multi_model else len(gpus) or resources.usable_cpus())
    _warn_of_minutes(config)
    if port is not None and not isinstance(port, int):
        message = f"serve(__name__, port={port!r}): a port is a whole number, e.g. port=8080."
        raise StartError(message)
    _check_preload(config, gpus)
    return Settings(
        config=config if port is None else replace(config, port=port),
        program=served if isinstance(served, Program) else None,
        handler_service=served if isinstance(served, str) else "",
        # A handler service runs in that folder, where a relative path would lead elsewhere.
        model_dir=os.path.abspath(model_dir) if isinstance(served, str) else model_dir,  # noqa: PTH100
        host=(_variables.HOST.read() or mms.host() or host) if host == ALL_ADDRESSES else host,
        workers=workers,
        gpus=gpus,
    )


def _with_transforms(config: Config, transforms: Mapping[str, int | str | None]) -> Config:
    changes = {}
    for name, value in transforms.items():
        if value is None:
            continue
        try:
            changes[name] = _TRANSFORMS[name].parse(str(value))
        except ValueError as error:
            message = f"serve(__name__, {name}={value!r}) {error}"
            raise StartError(message) from None
    if "max_payload_in_mb" in changes:
        changes["payload_limit"] = _variables.bytes_of(changes["max_payload_in_mb"])
    return replace(config, **changes)


def _warn_of_minutes(config: Config) -> None:
    for seconds, minutes in (
        (_variables.TIMEOUT_SECONDS, _variables.TIMEOUT),
        (mms.TIMEOUT_SECONDS, mms.TIMEOUT),
    ):
        if seconds.text:
            return
        if minutes.text:
            logger.warning(
                "%s=%d counts seconds (minutes in Multi Model Server)", minutes.name, config.timeout
            )
            return


def _check_preload(config: Config, gpus: list[str]) -> None:
    if config.preload and gpus:
        message = (
            f"{_variables.PRELOAD.name} is set on a machine with GPUs, whose memory a fork does "
            "not share. Leave it out: every GPU gets a worker that loads the model itself."
        )
        raise StartError(message)
