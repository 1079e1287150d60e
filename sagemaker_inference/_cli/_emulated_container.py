"""The container that ``sagemaker-inference emulate`` starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._os.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._emulator.process import Process

_HOST: Final = "127.0.0.1"
_STEP_SECONDS: Final = 0.05
# For requests in progress, as in the server.
_PATIENCE_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Running:
    """A container that has been started.

    Attributes:
        url: where it serves.
        process: its process; None where it is in this one, or somebody else's.
    """

    url: str
    process: Process | None = None


@contextlib.contextmanager
def one_model(program: str, model_dir: str | None) -> Iterator[Running]:
    """Start a container for a program: the server on Linux, else the program in this process.

    Args:
        program: the program's file.
        model_dir: the folder of the model; None leaves it to the program.

    Raises:
        StartError: there is no such file, or the server cannot start.
        CommandError: the program in this process does not start.
    """
    if sys.platform != "linux":
        with _in_process(program, model_dir) as url:
            yield Running(url)
        return
    from sagemaker_inference.testing import ServerProcess

    server = ServerProcess(program, model_dir=model_dir)
    with _ended(server.launch()) as process:
        yield Running(server.url, process)


@contextlib.contextmanager
def many_models() -> Iterator[Running]:
    """Start a container that loads models when it is asked to, each with its own program.

    Only on Linux.
    """
    from sagemaker_inference._os.child_process import die_with_parent
    from sagemaker_inference._os.interpreter import python_command
    from sagemaker_inference._supervisor.settings import settings_from_environment

    os.environ[_variables.MULTI_MODEL.name] = "true"
    port = free_port(_HOST)
    settings = settings_from_environment("", os.getcwd(), host=_HOST, port=port)  # noqa: PTH109
    command = python_command("sagemaker_inference._supervisor.main", settings.dump())
    started = subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # Nothing else would end it, where this process is killed.
        preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
    )
    with _ended(started) as process:
        yield Running(f"http://{_HOST}:{port}", process)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        # The platform has stopped it, unless it has not come to that.
        if process.poll() is None:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _in_process(program: str, model_dir: str | None) -> Iterator[str]:
    import uvicorn

    from sagemaker_inference import asgi

    port = free_port(_HOST)
    application = asgi.app(program, model_dir=model_dir)
    config = uvicorn.Config(
        application,
        host=_HOST,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    server = uvicorn.Server(config)

    def run() -> None:
        # With which uvicorn ends where the application does not start.
        with contextlib.suppress(SystemExit):
            server.run()

    thread = threading.Thread(target=run, name="container", daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(_STEP_SECONDS)
            if not thread.is_alive():
                message = f"{program} has not started; the lines above say why"
                raise CommandError(message)
        yield f"http://{_HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join()
