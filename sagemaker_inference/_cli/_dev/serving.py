"""Run `sagemaker-inference dev`: the port of the program, and the watch of its files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import click
import uvicorn

from sagemaker_inference import _variables
from sagemaker_inference._cli import SIGNALLED
from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._dev import watching
from sagemaker_inference._cli._dev.console import Console
from sagemaker_inference._cli._dev.located import Locator
from sagemaker_inference._cli._dev.proxy import Proxy
from sagemaker_inference._cli._dev.records import Records
from sagemaker_inference._cli._dev.reloading import STOP_SECONDS, Reloader
from sagemaker_inference._cli._dev.servers import HOST, kind_for_this_machine
from sagemaker_inference._cli._signals import end_now
from sagemaker_inference._config import Config
from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_inference._cli._dev.servers import Server

# For the port of the console.
NEXT: Final = 0
_TRIED_PORTS: Final = 100
_LARGEST_PORT: Final = 65535
_LARGEST_MESSAGE: Final = 1 << 30
# For requests in progress when the command ends: the server answers them before.
_PATIENCE_SECONDS: Final = 27
# Most servers have ended by then.
_QUIET_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


def serve(  # noqa: PLR0913, PLR0917 - the options
    program: str,
    host: str,
    port: int | None,
    model_dir: str | None,
    watched: Sequence[Path],
    console: int | None,
) -> int:
    """Serve a program until a signal comes; returns the exit code.

    Args:
        program: its file.
        host: the address to listen on.
        port: the port; None leaves it to the environment.
        model_dir: the folder of the model; None leaves it to the program.
        watched: further folders whose files are watched.
        console: the port of the console; `NEXT` for the next one that is free, None for none.

    Raises:
        StartError: a variable has a value that cannot be used.
        CommandError: a port cannot be used.
    """
    config = Config.from_environment()
    if config.multi_model:
        message = (
            f"{_variables.MULTI_MODEL.name} is set, and serves many models: unset the variable."
        )
        raise StartError(message)
    captured = [Path(config.capture)] if config.capture else []
    locator = Locator(program, model_dir, watched, captured)
    port = config.port if port is None else port
    kind = kind_for_this_machine()
    address = f"http://{host}:{port}"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(host, port, "--port"))
        page = None
        if console is not None:
            page = stack.enter_context(_listen_for_console(console, port))

        def start() -> Server:
            return kind(locator.locate(), address, _show)

        reloader = Reloader(start, locator.locate, program, config.startup_timeout)
        stack.callback(reloader.abandon)
        reloader.prepare()
        _configure_log()
        click.echo(f"{program} is served at {address} by {kind.kind}")
        records = Records()
        proxy = Proxy(reloader, records)
        ports: list[tuple[Proxy | Console, socket.socket]] = [(proxy, listener)]
        if page is not None:
            number = page.getsockname()[1]
            click.echo(f"The console is at http://{HOST}:{number}/")
            made = Console(program, address, proxy, reloader, records, number)
            ports.append((made, page))
        return anyio.run(_run, reloader, ports, locator)


def _listen(host: str, port: int, option: str) -> socket.socket:
    try:
        socket.getaddrinfo(host, None, socket.AF_INET)
    except socket.gaierror as error:
        message = (
            f"{host} is not an IPv4 address or name ({error.strerror}): choose another with --host"
        )
        raise CommandError(message) from None
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        message = f"port {port} of {host} cannot be used ({error}): choose another with {option}"
        raise CommandError(message) from None


def _listen_for_console(console: int, port: int) -> socket.socket:
    if console != NEXT:
        return _listen(HOST, console, "--console")
    for number in range(port + 1, min(port + _TRIED_PORTS, _LARGEST_PORT + 1)):
        with contextlib.suppress(CommandError):
            return _listen(HOST, number, "--console")
    message = f"no port above {port} is free: choose another with --console"
    raise CommandError(message)


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - what the server has logged


def _configure_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s - dev - %(levelname)s - %(message)s"))
    logger = logging.getLogger("sagemaker_inference._cli._dev")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn is not about a response without an end, which is passed on so."""
    return "without completing response" not in record.msg


class _Port(uvicorn.Server):
    """An ASGI server that leaves signals to others.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                ws="websockets-sansio",
                ws_max_size=_LARGEST_MESSAGE,
                ws_ping_interval=None,
                timeout_graceful_shutdown=_PATIENCE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _run(
    reloader: Reloader,
    served: Sequence[tuple[Proxy | Console, socket.socket]],
    locator: Locator,
) -> int:
    signals = _Signals()
    ports = [(_Port(app), listener) for app, listener in served]
    with signals.handled():
        async with anyio.create_task_group() as ending:
            async with (
                anyio.create_task_group() as serving,
                anyio.create_task_group() as loading,
            ):
                loading.start_soon(reloader.run)
                loading.start_soon(_watch, reloader, locator, signals.stop)
                for port, listener in ports:
                    serving.start_soon(port.serve, [listener])
                await signals.stop.wait()
                ending.start_soon(_say_wait, reloader)
                ending.start_soon(_hurry, signals.again, reloader, [port for port, _ in ports])
                for port, _ in ports:
                    port.should_exit = True
                # At the same time: a server answers what it has got before it ends.
                loading.cancel_scope.cancel()
            ending.cancel_scope.cancel()
        for app, _ in served:
            await app.close()
    return signals.code


async def _say_wait(reloader: Reloader) -> None:
    await anyio.sleep(_QUIET_SECONDS)
    logger.warning(
        "waiting for the server to end, up to %g s; requests in progress: %d. A second signal ends "
        "it at once.",
        STOP_SECONDS,
        reloader.in_progress,
    )


async def _watch(reloader: Reloader, locator: Locator, stop: anyio.Event) -> None:
    async for paths in watching.changes(locator.folders, stop, reloader.may_load):
        reloader.change(paths)


async def _hurry(again: anyio.Event, reloader: Reloader, ports: Sequence[_Port]) -> None:
    await again.wait()
    reloader.is_hurried = True
    for port in ports:
        port.force_exit = True


class _Signals:
    """What SIGINT and SIGTERM have asked for; a third one ends this process, and so the server.

    Attributes:
        stop: set by the first one.
        again: set by the second one.
        code: the exit code.
    """

    def __init__(self) -> None:
        self.stop = anyio.Event()
        self.again = anyio.Event()
        self.code = 0
        self._numbers = (signal.SIGINT, signal.SIGTERM)
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them."""
        before = [signal.signal(number, self._handle) for number in self._numbers]
        try:
            yield
        finally:
            for number, handler in zip(self._numbers, before, strict=True):
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._loop.call_soon_threadsafe(self.stop.set)
            return
        self.code = SIGNALLED + number
        for one in self._numbers:
            signal.signal(one, end_now)
        self._loop.call_soon_threadsafe(self.again.set)
