"""A process in the background of a server: started a while later, and not missed when killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._os.child_process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_inference._os.event_loop import EventLoop


class BackgroundProcess:
    """Runs a command once. What it prints goes nowhere, and nobody waits for it.

    It leads a process group of its own, and the kernel kills it when this process is gone.

    Args:
        loop: calls back when its time has come.
        command: the program and its arguments.
        environment: all of its environment variables.
        delay: seconds until it starts.
    """

    def __init__(
        self,
        loop: EventLoop,
        command: Sequence[str],
        environment: Mapping[str, str],
        delay: float,
    ) -> None:
        self._loop = loop
        self._command = command
        self._environment = environment
        self._child: ChildProcess | None = None
        self._is_closed = False
        loop.after(delay, self._start)

    @property
    def is_running(self) -> bool:
        """Whether it has started and not been reaped."""
        return self._child is not None

    def reap(self) -> None:
        """Notice that it has ended: call it at SIGCHLD. It never waits."""
        if self._child is not None and self._child.reap() is not None:
            self._release(self._child)

    def close(self) -> None:
        """Kill it, with all that it has started; or never start it."""
        self._is_closed = True
        if self._child is not None:
            self._child.kill_group()
            self._child.wait()
            self._release(self._child)

    def _start(self) -> None:
        if self._is_closed:
            return
        try:
            self._child = ChildProcess.spawn(
                self._command, env=self._environment, targets=(None, None)
            )
        except OSError:  # a machine that is short of processes or memory has other concerns
            return
        for relay in self._child.relays:
            self._loop.watch_relay(relay)

    def _release(self, child: ChildProcess) -> None:
        self._child = None
        # A process that it leaves behind would keep its own to itself.
        child.kill_group()
        for relay in child.relays:
            self._loop.unwatch(relay.source)
            relay.close()
