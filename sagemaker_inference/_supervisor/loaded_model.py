"""One of many models, between ``POST /models`` and its end.

Its first process is the one that the front end starts (`multi_model_process`). Where it cannot be
served it is refused, with the cause in a file that the front end reads.
"""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._http.error_response import one_line
from sagemaker_inference._ipc import wire
from sagemaker_inference._ipc.slots import MAX_SLOTS
from sagemaker_inference._log import get_logger
from sagemaker_inference._supervisor.deployment import ServedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.settings import Settings

logger = get_logger()

# The front end closes a model's connections and kills its process at about the same time.
_TOGETHER_SECONDS: Final = 0.05
# A process that the front end has started is there within so many seconds.
_PROCESS_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.01
_FAILED, _OUT_OF_MEMORY = 500, 507
_NO_CONNECTION: Final = "no connection is left for it; unload others first"


class Models(Protocol):
    """All models: what one of them asks of them (`MultiModel`)."""

    loop: EventLoop
    taken: set[int]

    @property
    def is_full(self) -> bool:
        """Whether all connections that can be served are in use, or asked for."""
        ...

    def settings_of(self, name: str, path: str, handler: str) -> Settings:
        """How a model is served."""
        ...

    def file(self, name: str, suffix: str) -> Path:
        """What the front end looks for about a model."""
        ...

    def ask(self, method: str, path: str, heard: Callable[[bytes], None]) -> bool:
        """Ask the front end about models."""
        ...

    def is_current(self, model: LoadedModel) -> bool:
        """Whether no other model has come under its name."""
        ...

    def forget(self, model: LoadedModel) -> None:
        """Let a model go."""
        ...

    def on_stopped(self) -> None:
        """A model's processes have ended."""
        ...


class LoadedModel:
    """A model that the front end has been told to load.

    Args:
        models: all of them.
        name: what the front end calls it.
        path: where it is.

    Attributes:
        served: its connections and processes, once the first process is there.
    """

    def __init__(self, models: Models, name: str, path: str) -> None:
        self._models = models
        self._loop = models.loop
        self.name, self.path = name, path
        self.served: ServedModel | None = None
        self._is_loaded = False
        self._is_ending = False
        # Tell the front end that there are processes, and why the model was refused.
        self._served_file = models.file(name, ".served")
        self._failed_file = models.file(name, ".failed")
        # The status that it will be refused with, why, and the refusal once it can be sent.
        self._verdict = 0
        self._cause = ""
        self._refusal = b""
        self._refused = math.inf
        # Connections that are not served: their Load waits for its answer, or was refused.
        self._waiting: list[socket.socket] = []
        # To the process that the front end has started; closed when that ends.
        self._link: socket.socket | None = None
        self._pid = 0
        # How often the front end has shown that it has the model.
        self.arrivals = 0

    @property
    def url(self) -> str:
        """Its path at the front end."""
        return launcher.model_url(self.name)

    @property
    def is_gone(self) -> bool:
        """Whether the front end has let it go."""
        is_connected = self.served is not None and self.served.is_connected
        return not (self._link or self._waiting or is_connected)

    @property
    def is_over(self) -> bool:
        """Whether what comes now belongs to the next model of its name."""
        return self.is_gone or monotonic() - self._refused > _TOGETHER_SECONDS

    @property
    def waiting(self) -> int:
        """Connections whose Load waits for its answer."""
        return 0 if self._refusal else len(self._waiting)

    # What the front end does.

    def attach(self, link: socket.socket, message: dict[str, Any]) -> None:
        """Take the process that the front end has started; another it would start in vain."""
        self.arrivals += 1
        if self._link is not None or self.served is not None:
            link.close()
            return
        self._link, self._pid = link, message["pid"]
        self._loop.watch(link.fileno(), self._on_link_closed)
        if self._verdict:
            self._let_process_go()
            return
        served = self._serve(message["handler"])
        if served is None:
            return
        try:
            served.processes.start_with(self._pid, link)
        except OSError:
            logger.debug("the process of model %s ended before it had begun", self.name)

    def _serve(self, handler: str) -> ServedModel | None:
        try:
            settings = self._models.settings_of(self.name, self.path, handler)
        except StartError as error:
            logger.error("model %s: %s", self.name, error)  # noqa: TRY400 - it has said it all
            self._verdict, self._cause = _FAILED, str(error)
            self._let_process_go()
            return None
        self._tell(self._served_file, "")
        taken = self._models.taken
        self.served = ServedModel(settings, self._loop, self, taken, self._look_soon)
        return self.served

    def greet(self, sock: socket.socket, load: wire.Load) -> None:
        """Take a connection on which the front end has asked for the model."""
        self.arrivals += 1
        if self._is_loaded and not self._verdict:
            self._take(sock)
            return
        if self._models.is_full and not self._verdict:
            self._verdict, self._cause = _OUT_OF_MEMORY, _NO_CONNECTION
            logger.error("model %s: %s", self.name, self._cause)
        if not (self._waiting or self._pid):
            self._loop.after(_PROCESS_SECONDS, lambda: self._go_on_alone(load))
        self._waiting.append(sock)

        def hung_up() -> None:
            self._let_go(sock)
            self._look_soon()

        # Whatever comes is the end: it says nothing before its Load is answered.
        self._loop.watch(sock.fileno(), hung_up)
        if self._refusal:
            self._send(sock, self._refusal)

    def _go_on_alone(self, load: wire.Load) -> None:
        """Do without the front end's process: scaling up from 0, it starts none."""
        if self._pid or not self._waiting:
            return
        if self._verdict:
            self._refuse()
            return
        served = self._serve(load.handler)
        if served is not None:
            served.start()

    def _take(self, sock: socket.socket) -> None:
        if self.served is None or len(self._models.taken) >= MAX_SLOTS:
            logger.error("model %s: %s", self.name, _NO_CONNECTION)
            self._send(sock, wire.not_loaded(_OUT_OF_MEMORY, _NO_CONNECTION))
            sock.close()
            return
        self._send(sock, wire.loaded(self.name, os.getpid()))
        self.served.accept(sock)

    def _on_link_closed(self) -> None:
        self._drop_link()
        self._look_soon()

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._loop.unwatch(link.fileno())
            link.close()

    def _look_soon(self) -> None:
        self._is_ending = True
        self._loop.after(_TOGETHER_SECONDS, self._look)

    def _look(self) -> None:
        """Find out what has ended: the model, or only a process or connection of it."""
        self._is_ending = False
        if not self._models.is_current(self):
            return
        if self.is_gone:
            self.unload()
        else:
            self.reap()

    def unload(self) -> None:
        """Forget it, and say so unless it was refused."""
        if not self._verdict:
            logger.info("model %s is unloaded", self.name)
        self._models.forget(self)
        self._models.on_stopped()

    def reap(self) -> None:
        """Notice processes that have ended, unless the model may be about to."""
        is_ending = self._is_ending or (self._link is not None and _is_closed(self._link))
        if self.served is not None and not is_ending:
            self.served.reap()

    # What its processes do (model_processes.Owner).

    def on_assembled(self, report: Report) -> None:
        """Its program has been imported."""

    def on_all_loaded(self, report: Report) -> None:  # noqa: ARG002
        """Answer what has waited."""
        if self._is_loaded:
            return
        self._is_loaded = True
        logger.info("model %s is loaded", self.name)
        for sock in list(self._waiting):
            self._waiting.remove(sock)
            self._loop.unwatch(sock.fileno())
            self._take(sock)

    def on_failed(self, cause: str, *, out_of_memory: bool) -> None:
        """Refuse the model, and have the front end forget it."""
        if self._verdict:  # another of its processes has failed before
            return
        logger.error("model %s could not be loaded, or not be kept; the cause is above", self.name)
        self._verdict, self._cause = _OUT_OF_MEMORY if out_of_memory else _FAILED, cause
        # Not here: the processes are about to look after each other.
        self._loop.after(0, self._end)

    def stop(self) -> None:
        """Tell its processes to finish; where they still load, that is of no use any more."""
        if self.served is not None and self._is_loaded:
            self.served.stop()
        else:
            self.on_failed("the server is stopping", out_of_memory=False)

    def on_all_stopped(self) -> None:
        """Its processes have finished."""
        self._models.on_stopped()

    def _end(self) -> None:
        # The front end has to close the connections: one that it finds closed it opens again, a
        # second later, for whatever model has the name by then.
        if self._is_loaded and self._models.ask("DELETE", self.url, lambda _response: None):
            return
        served, self.served = self.served, None
        if served is not None:
            served.close()
        self._let_process_go()

    def _let_process_go(self) -> None:
        """Refuse the model when its process is gone.

        Told before, the front end would wait for that in a thread that it has interrupted, fail,
        and keep the model in its list (``ModelManager.unregisterModel``).
        """
        self._drop_link()
        if self._pid and Path("/proc", str(self._pid)).exists():
            self._loop.after(_POLL_SECONDS, self._let_process_go)
        else:
            self._refuse()

    def _refuse(self) -> None:
        if self._waiting:
            message = f"model {self.name} could not be loaded: {self._cause}"
            self._tell(self._failed_file, one_line(message))
        self._refusal = wire.not_loaded(self._verdict, "it could not be loaded")
        self._refused = monotonic()
        for sock in self._waiting:
            self._send(sock, self._refusal)
        self._look_soon()

    def _tell(self, file: Path, text: str) -> None:
        try:
            file.write_bytes(text.encode())
        except OSError as error:
            logger.warning("model %s: the front end cannot be told of it: %s", self.name, error)

    def close(self) -> None:
        """Kill its processes, and close what is open."""
        if self.served is not None:
            self.served.close()
            self.served = None
        for sock in list(self._waiting):
            self._let_go(sock)
        self._drop_link()
        self._served_file.unlink(missing_ok=True)

    def _let_go(self, sock: socket.socket) -> None:
        self._waiting.remove(sock)
        self._loop.unwatch(sock.fileno())
        sock.close()

    def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            sock.send(data)
        except OSError:
            logger.debug("the front end has given model %s up", self.name)


def _is_closed(link: socket.socket) -> bool:
    """Whether the process at the other end has ended."""
    try:
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
