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
import socket
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._ipc import wire
from sagemaker_inference._ipc.messages import DEFAULT_HANDLER, Report
from sagemaker_inference._ipc.slots import MAX_SLOTS
from sagemaker_inference._log import get_logger
from sagemaker_inference._program import location
from sagemaker_inference._supervisor.deployment import ServedModel
from sagemaker_inference._supervisor.loaded_model import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.settings import Settings
    from sagemaker_inference._supervisor.workers import Owner

logger = get_logger()

_LONGEST_MESSAGE: Final = 65536
_END_OF_HEAD: Final = b"\r\n\r\n"
_LIST: Final = "/models?limit=100"
_NOT_FOUND: Final = b"HTTP/1.1 404 "


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
        self._folder = Path(launcher.models_folder(folder))
        self._owner = owner
        self._models: dict[str, LoadedModel] = {}
        self._count = 0
        self._is_asking = False
        # Connections, and processes, that have not yet said for which model they are; answers of
        # the front end that are not there yet.
        self._strangers: set[socket.socket] = set()
        self._is_stopping = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(launcher.link_path(folder))
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

    def _model(self, name: str, path: str) -> LoadedModel:
        model = self._models.get(name)
        if model is not None and (model.is_over or model.path != path):
            self.forget(model)
            model = None
        if model is None:
            model = self._models[name] = LoadedModel(self, name, path)
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
        is_own = handler == DEFAULT_HANDLER
        return replace(
            settings,
            model_dir=path,
            program=location.find(path) if is_own else None,
            handler_service="" if is_own else handler,
            gpus=settings.gpus[shift:] + settings.gpus[:shift],
            path=f"{launcher.model_url(name)}/invoke",
        )

    def file(self, name: str, suffix: str) -> Path:
        """What the front end looks for about a model, whatever its name is made of."""
        return self._folder / (sha256(name.encode()).hexdigest() + suffix)

    @property
    def is_full(self) -> bool:
        """Whether all connections that can be served are in use, or asked for."""
        return len(self.taken) + sum(model.waiting for model in self._all()) >= MAX_SLOTS

    def is_current(self, model: LoadedModel) -> bool:
        """Whether no other model has come under its name."""
        return self._models.get(model.name) is model

    def forget(self, model: LoadedModel) -> None:
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

        def heard(response: bytes) -> None:
            self._is_asking = False
            try:
                listed = json.loads(response.partition(_END_OF_HEAD)[2])["models"]
                names = {model["modelName"] for model in listed}
            except (ValueError, LookupError, TypeError):
                return  # its list fails while a model is being taken from it
            for model, count in arrivals.items():
                if model.name not in names:
                    self._verify_one(model, count)

        self._is_asking = self.ask("GET", _LIST, heard)

    def _verify_one(self, model: LoadedModel, arrivals: int) -> None:
        # The list has the first hundred.
        def heard(response: bytes) -> None:
            # What has come since belongs to the next of its name.
            is_same = self.is_current(model) and model.arrivals == arrivals
            if is_same and response.startswith(_NOT_FOUND):
                model.unload()

        self.ask("GET", model.url, heard)

    def ask(self, method: str, path: str, heard: Callable[[bytes], None]) -> bool:
        """Ask the front end about models, without waiting; whether it could be asked."""
        try:
            sock = launcher.ask(self.settings.host, self.settings.port, method, path)
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
                heard(bytes(data))

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

    def _all(self) -> list[LoadedModel]:
        return list(self._models.values())

    def _each(self, act: Callable[[ServedModel], None]) -> None:
        for model in self._all():
            if model.served is not None:
                act(model.served)
