"""Start the server: `serve` for a decorated program, `start_model_server` for a container."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import (
    assembly,
    environment,
    frontend,
    machine,
    parameters,
    program,
    registry,
)
from sagemaker_inference.child_process import python_command
from sagemaker_inference.environment import Environment
from sagemaker_inference.errors import StartError
from sagemaker_inference.logging import configure_logger, get_logger
from sagemaker_inference.program import Program
from sagemaker_inference.settings import Settings
from sagemaker_inference.supervisor import Supervisor

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from sagemaker_inference.registry import Registry

logger = get_logger()

DEFAULT_HANDLER_SERVICE: Final = "sagemaker_inference.default_handler_service"
_MEGABYTE: Final = 1024 * 1024


def serve(
    name: str,
    *,
    model_dir: str | os.PathLike[str] | None = None,
    host: str = frontend.ALL_ADDRESSES,
    port: int | None = None,
    registry: Registry = registry.default_registry,
) -> None:
    """Serve this program; call it as ``serve(__name__)`` at the end of the file.

    Under ``__main__`` this process becomes the server and does not come back; where the file is
    imported, nothing happens.

    Args:
        name: ``__name__`` of the calling module.
        model_dir: where the model is. When left out: ``model`` in SAGEMAKER_BASE_DIR (/opt/ml)
            where that exists, else ``model`` beside the program, else the program's folder.
        host: address to serve; all by default, as a container must.
        port: port to serve; SAGEMAKER_BIND_TO_PORT or 8080 when left out.
        registry: what the program has registered its handlers with, if not the default.
    """
    caller = sys._getframe(1)  # noqa: SLF001 - the place where registration ends, for messages
    if name != "__main__":
        place = f"{caller.f_code.co_filename}, line {caller.f_lineno}"
        program.served(name, registry, place)
        return
    configure_logger()
    try:
        main = Program.of_main()
        registry.adopt(sys.modules["__main__"])
        handler = assembly.assemble(registry, main.label)
        settings = _settings(
            main,
            str(model_dir) if model_dir is not None else _default_model_dir(main),
            host=host,
            port=port,
            # What stands below may still register something, and be refused by the model process:
            # the front end then waits until that has imported the whole file.
            slots=handler.plan.slots if _is_last_statement(caller) else 0,
        )
    except (StartError, TypeError) as error:
        _exit(error)
    # A fresh interpreter: whatever the program has imported leaves this process's memory.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(  # noqa: S606 - our own interpreter
        sys.executable,
        python_command("sagemaker_inference.supervisor", settings.dump()),
    )


def start_model_server(handler_service: str = DEFAULT_HANDLER_SERVICE) -> None:
    """Serve a handler service, and return when the server has stopped.

    Args:
        handler_service: a module or file with a class or function as Multi Model Server takes it;
            by default the program that SAGEMAKER_PROGRAM names in the model's folder ``code``.

    Raises:
        SystemExit: with the server's exit code, where that is not 0.
    """
    configure_logger()
    try:
        model_dir = environment.model_dir
        served: Program | str = handler_service
        if handler_service == DEFAULT_HANDLER_SERVICE:
            served = program.find(model_dir)
        settings = _settings(served, model_dir)
        code = Supervisor(settings, reap_strangers=os.getpid() == 1).run()
    except StartError as error:
        _exit(error)
    if code:
        raise SystemExit(code)


def _is_last_statement(caller: FrameType) -> bool:
    """Whether nothing but comments follows the line that a module's frame is at."""
    try:
        body = ast.parse(Path(caller.f_code.co_filename).read_bytes()).body
    except (OSError, SyntaxError):
        return False
    return bool(body) and body[-1].lineno <= caller.f_lineno


def _settings(
    served: Program | str,
    model_dir: str,
    *,
    host: str = frontend.ALL_ADDRESSES,
    port: int | None = None,
    slots: int = 0,
) -> Settings:
    env = Environment()
    gpus = machine.gpus()
    workers = environment.number(
        parameters.MODEL_SERVER_WORKERS_ENV,
        len(gpus) or machine.usable_cpus(),
        "model processes",
        least=1,
    )
    if environment.is_set(parameters.MULTI_MODEL_ENV):
        message = (
            f"{parameters.MULTI_MODEL_ENV} is set, and this version serves one model. Leave it out."
        )
        raise StartError(message)
    variable = parameters.MODEL_SERVER_TIMEOUT_ENV
    if env.model_server_timeout_seconds is None and variable in os.environ:
        seconds = env.model_server_timeout
        logger.warning("%s=%d counts seconds (minutes in Multi Model Server)", variable, seconds)
    if gpus and environment.is_set(environment.PRELOAD_ENV):
        message = (
            f"{environment.PRELOAD_ENV} is set on a machine with GPUs, whose memory a fork does "
            "not share. Leave it out: every GPU gets a process that loads the model itself."
        )
        raise StartError(message)
    if port is None:
        port = int(environment.number(parameters.BIND_TO_PORT_ENV, 8080, "a port", least=1) or 0)
    return Settings(
        program=served if isinstance(served, Program) else None,
        handler_service=served if isinstance(served, str) else "",
        model_dir=model_dir,
        host=host,
        port=port,
        workers=int(workers or 1),
        gpus=gpus,
        payload_limit=env.max_request_size or environment.DEFAULT_MAX_PAYLOAD_IN_MB * _MEGABYTE,
        timeout=env.model_server_timeout_seconds or env.model_server_timeout,
        startup_timeout=env.startup_timeout,
        vmargs=env.vmargs,
        preload=environment.is_set(environment.PRELOAD_ENV),
        slots=slots,
    )


def _default_model_dir(main: Program) -> str:
    if Path(environment.model_dir).is_dir():
        return environment.model_dir
    beside = Path(main.root, "model")
    return str(beside) if beside.is_dir() else main.root


def _exit(error: Exception) -> NoReturn:
    print(f"sagemaker-inference: error: {error}", file=sys.stderr)  # noqa: T201 - its last word
    sys.exit(1)
