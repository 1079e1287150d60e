"""A model that is served: the front end's connections to it, and the processes that answer."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from sagemaker_inference._ipc.slots import MAX_SLOTS, SlotTable
from sagemaker_inference._log import get_logger
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.workers import ModelProcesses

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.settings import Settings
    from sagemaker_inference._supervisor.workers import Owner

logger = get_logger()


class ServedModel:
    """One model.

    Args:
        settings: what its processes serve.
        loop: calls back when something happens.
        owner: hears what becomes of the processes.
        taken: the slots in use, shared by all models of this supervisor.
        hung_up: called when the front end has closed a connection.

    Attributes:
        processes: those that answer.
    """

    def __init__(
        self,
        settings: Settings,
        loop: EventLoop,
        owner: Owner,
        taken: set[int] | None = None,
        hung_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._hung_up = hung_up
        self._connections = Connections(SlotTable(), taken)
        self.processes = ModelProcesses(settings, loop, self._connections, owner)

    def start(self) -> None:
        """Start the processes."""
        self.processes.start()

    def accept(self, sock: socket.socket) -> None:
        """Serve a connection of the front end; it is closed where there are too many."""
        slot = self._connections.add(sock)
        if slot is None:
            logger.error("the front end opened more than %d connections", MAX_SLOTS)
            return
        self.processes.pass_on(slot)
        fd = self._connections.fd(slot)

        def hung_up() -> None:
            self._loop.unwatch(fd)
            self._connections.close(slot)
            self._hung_up()

        self._loop.watch(fd, hung_up, select.EPOLLRDHUP)
        self._connections.arm(slot)

    @property
    def is_connected(self) -> bool:
        """Whether the front end is there."""
        return bool(list(self._connections))

    @property
    def all_loaded(self) -> bool:
        """Whether every process can answer."""
        return self.processes.all_loaded

    @property
    def count(self) -> int:
        """How many processes there are now."""
        return self.processes.count

    def reap(self) -> None:
        """Notice processes that have ended."""
        self.processes.reap()

    def check_time_limits(self) -> None:
        """End processes that load or predict for too long."""
        self.processes.check_time_limits()

    def is_busy(self) -> bool:
        """Whether any request is in work."""
        return self._connections.busy()

    def stop(self) -> None:
        """Tell the processes to finish; the owner hears when they have."""
        self._connections.stop()

    def kill(self) -> None:
        """Kill the processes; what they were working on is answered from here."""
        self.processes.kill_all()

    def close(self) -> None:
        """Kill and forget the processes, and close the connections."""
        self.processes.end_all()
        for slot in self._connections:
            self._loop.unwatch(self._connections.fd(slot))
        self._connections.dispose()
