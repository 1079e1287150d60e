"""Many models behind one front end, loaded and unloaded over HTTP.

For each model that is loaded, the front end starts a process, opens connections, and sends on each
the message `Load`, whose status becomes that of ``POST /models``. When the model is unloaded it
closes the connections and kills the process. That very process is the model's first
(`multi_model_process`). Everything else is as with one model: connections, processes and
replacements are the supervisor's.

Two things the front end learns from files (``java/sagemaker_inference/ModelAnswers.java``): why a
model has failed, which it tells the client, and which models have processes, for whose end DELETE
waits.
"""

from __future__ import annotations

import json
import math
import os
import socket
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sagemaker_inference import frontend, program
from sagemaker_inference.backend import wire
from sagemaker_inference.backend.messages import Report
from sagemaker_inference.backend.slots import MAX_SLOTS
from sagemaker_inference.errors import StartError
from sagemaker_inference.logging import get_logger
from sagemaker_inference.requests import one_line
from sagemaker_inference.served_model import ServedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference.event_loop import EventLoop
    from sagemaker_inference.model_processes import Owner
    from sagemaker_inference.settings import Settings

logger = get_logger()

_LONGEST_MESSAGE: Final = 65536
_END_OF_HEAD: Final = b"\r\n\r\n"
# The front end closes a model's connections and kills its process at about the same time.
_TOGETHER_SECONDS: Final = 0.05
# A process that the front end has started is there within so many seconds.
_PROCESS_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.01
_FAILED, _OUT_OF_MEMORY = 500, 507
# More than there can be.
_ALL_MODELS: Final = f"/models?limit={MAX_SLOTS}"
_NO_CONNECTION: Final = "no connection is left for it; unload others first"


class MultiModel:
    """The models that are loaded now.

    Args:
        settings: how each is served; its model directory is where models usually are.
        loop: calls back when something happens.
        owner: hears when this is ready, and when all processes have stopped.
        folder: the private directory. In it, processes that the front end has started ask for their
            assignment, and the front end finds out about models.
    """

    is_connected = all_loaded = True

    def __init__(self, settings: Settings, loop: EventLoop, owner: Owner, folder: str) -> None:
        self.settings = settings
        self.loop = loop
        self.taken: set[int] = set()
        self._folder = Path(frontend.models_folder(folder))
        self._owner = owner
        self._models: dict[str, _Model] = {}
        self._count = 0
        self._is_asking = False
        # Connections, and processes, that have not yet said for which model they are; answers of
        # the front end that are not there yet.
        self._strangers: set[socket.socket] = set()
        self._is_stopping = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(frontend.link_path(folder))
        self._listener.listen()
        loop.watch(self._listener.fileno(), self._on_link)

    def start(self) -> None:
        """There is nothing to wait for: a server without models is a healthy one."""
        self._owner.on_all_loaded(Report("loaded"))

    def accept(self, sock: socket.socket) -> None:
        """Take a connection of the front end; its first message says for which model."""
        sock.setblocking(False)  # noqa: FBT003 - socket's own signature
        data = bytearray()

        def read() -> None:
            try:
                chunk = sock.recv(_LONGEST_MESSAGE)
                data.extend(chunk)
                found = wire.read(bytes(data), _LONGEST_MESSAGE) if chunk else None
            except (OSError, wire.WireError):
                found = None
            if isinstance(found, int):
                return
            self._know(sock)
            if found is None or not isinstance(found[0], wire.Load):
                sock.close()
            else:
                self._model(found[0].model_name, found[0].model_path).greet(sock, found[0])

        self._strangers.add(sock)
        self.loop.watch(sock.fileno(), read)

    def _on_link(self) -> None:
        link, _ = self._listener.accept()

        def read() -> None:
            self._know(link)
            data = link.recv(_LONGEST_MESSAGE)
            if not data:
                link.close()
                return
            message = json.loads(data)
            self._model(message["name"], message["path"]).attach(link, message)

        self._strangers.add(link)
        self.loop.watch(link.fileno(), read)

    def _know(self, sock: socket.socket) -> None:
        self._strangers.remove(sock)
        self.loop.unwatch(sock.fileno())

    def _model(self, name: str, path: str) -> _Model:
        model = self._models.get(name)
        if model is not None and (model.is_over or model.path != path):
            self.forget(model)
            model = None
        if model is None:
            model = self._models[name] = _Model(self, name, path)
        return model

    def settings_of(self, name: str, path: str, handler: str) -> Settings:
        """How a model is served.

        Args:
            name: what the front end calls it.
            path: where it is.
            handler: its handler service, as the front end names it.

        Raises:
            StartError: it has no program.
        """
        settings = self.settings
        if Path(path, "code", "requirements.txt").exists():
            logger.warning(
                "model %s: its requirements.txt is not installed: all models share the packages of "
                "one interpreter",
                name,
            )
        # Each model's first process would have the first GPU, and the others none.
        shift = self._count % len(settings.gpus) if settings.gpus else 0
        self._count += 1
        is_own = handler == frontend.DEFAULT_HANDLER
        return replace(
            settings,
            model_dir=path,
            program=program.find(path) if is_own else None,
            handler_service="" if is_own else handler,
            gpus=settings.gpus[shift:] + settings.gpus[:shift],
            path=f"/models/{quote(name, safe='')}/invoke",
        )

    def file(self, name: str, suffix: str) -> Path:
        """What the front end looks for about a model, whatever its name is made of."""
        return self._folder / (sha256(name.encode()).hexdigest() + suffix)

    @property
    def is_full(self) -> bool:
        """Whether all connections that can be served are in use, or asked for."""
        return len(self.taken) + sum(model.waiting for model in self._all()) >= MAX_SLOTS

    def is_current(self, model: _Model) -> bool:
        """Whether no other model has come under its name."""
        return self._models.get(model.name) is model

    def forget(self, model: _Model) -> None:
        """Let a model go, with everything that is left of it."""
        model.close()
        if self.is_current(model):
            del self._models[model.name]

    @property
    def count(self) -> int:
        """How many processes there are now."""
        return sum(model.served.count for model in self._all() if model.served)

    def reap(self) -> None:
        """Notice processes that have ended."""
        for model in self._all():
            model.reap()

    def check_time_limits(self) -> None:
        """End processes that load or predict for too long."""
        # The front end's processes give no signal, and close their link before they have ended.
        self.reap()
        self._each(ServedModel.check_time_limits)
        self._verify()

    def _verify(self) -> None:
        """Forget what the front end does not have.

        Unloading a model, it closes the connections and kills the process, but not always: not a
        connection that it was about to open, and not the process when another client loads or
        unloads that model at the same time. Those would be served for ever, in place of the next
        model of their name, or refused together with it.
        """
        if self._is_asking or not self._models:
            return
        arrivals = {model: model.arrivals for model in self._all()}

        def heard(body: bytes) -> None:
            self._is_asking = False
            try:
                listed = {model["modelName"] for model in json.loads(body)["models"]}
            except (ValueError, KeyError):
                return  # its list fails while a model is being taken from it
            for model, count in arrivals.items():
                # What has come since belongs to the next of its name.
                is_same = self.is_current(model) and model.arrivals == count
                if is_same and model.name not in listed:
                    model.unload()

        self._is_asking = self.ask("GET", _ALL_MODELS, heard)

    def ask(self, method: str, path: str, heard: Callable[[bytes], None]) -> bool:
        """Ask the front end about models, without waiting; whether it could be asked."""
        try:
            sock = frontend.ask(self.settings.host, self.settings.port, method, path)
        except OSError as error:
            logger.warning("the front end cannot be asked for %s: %s", path, error)
            return False
        data = bytearray()

        def read() -> None:
            try:
                chunk = sock.recv(_LONGEST_MESSAGE)
            except OSError:
                chunk = b""
            data.extend(chunk)
            if not chunk:
                self._know(sock)
                sock.close()
                heard(bytes(data).partition(_END_OF_HEAD)[2])

        self._strangers.add(sock)
        self.loop.watch(sock.fileno(), read)
        return True

    def is_busy(self) -> bool:
        """Whether any request is in work."""
        return any(model.served.is_busy() for model in self._all() if model.served)

    def stop(self) -> None:
        """Tell all processes to finish; the owner hears when they have."""
        self._is_stopping = True
        for model in self._all():
            model.stop()
        self.on_stopped()

    def on_stopped(self) -> None:
        """Tell the owner, once no process is left."""
        is_refusing = any(model.waiting for model in self._all())
        if self._is_stopping and not (self.count or is_refusing):
            self._owner.on_all_stopped()

    def kill(self) -> None:
        """Kill all processes; what they were working on is answered from here."""
        self._each(ServedModel.kill)

    def close(self) -> None:
        """Kill and forget everything."""
        for model in self._all():
            self.forget(model)
        for sock in list(self._strangers):
            self._know(sock)
            sock.close()
        self.loop.unwatch(self._listener.fileno())
        self._listener.close()

    def _all(self) -> list[_Model]:
        return list(self._models.values())

    def _each(self, act: Callable[[ServedModel], None]) -> None:
        for model in self._all():
            if model.served is not None:
                act(model.served)


class _Model:
    """A model between ``POST /models`` and its end.

    Args:
        models: all of them.
        name: what the front end calls it.
        path: where it is.

    Attributes:
        served: its connections and processes, once the first process is there.
    """

    def __init__(self, models: MultiModel, name: str, path: str) -> None:
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
        elif self.served is not None or self._waiting:
            self.on_failed("the server is stopping", out_of_memory=False)

    def on_all_stopped(self) -> None:
        """Its processes have finished."""
        self._models.on_stopped()

    def _end(self) -> None:
        # The front end has to close the connections: one that it finds closed it opens again, a
        # second later, for whatever model has the name by then.
        path = f"/models/{quote(self.name, safe='')}"
        if self._is_loaded and self._models.ask("DELETE", path, lambda _body: None):
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
