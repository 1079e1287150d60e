"""The signals of a server: which stop it, and which do not."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop

# What containers, terminals and machines send to stop a process. SIGQUIT is the STOPSIGNAL of some
# base images, SIGPWR that of some container managers, and SIGHUP comes when a terminal closes.
STOPPING: Final = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPWR}
)
# Any other one that would end the process without a word, and that nobody sends to stop one.
_IGNORED: Final = frozenset(
    {
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGVTALRM,
        signal.SIGPROF,
        signal.SIGIO,
        *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
    }
)


class Signals:
    """Hands signals to a loop, and puts the process's own handlers back afterwards.

    Args:
        loop: calls back.
        callback: gets the number of each signal.
    """

    def __init__(self, loop: EventLoop, callback: Callable[[int], None]) -> None:
        self._loop = loop
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - socket's own signature
        numbers = [signal.SIGCHLD, *STOPPING, *_IGNORED]
        # What is ignored stays so: nohup, and shells that start background jobs, mean it.
        self._handlers = {
            number: signal.signal(number, _to_the_loop)
            for number in numbers
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGCHLD
        }
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

        def read() -> None:
            for number in self._reader.recv(256):
                callback(number)

        loop.watch(self._reader.fileno(), read)

    def close(self) -> None:
        """Put everything back."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            # None: of a library in C.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._loop.unwatch(self._reader.fileno())
        self._reader.close()
        self._writer.close()


def _to_the_loop(_number: int, _frame: object) -> None:
    """A signal's number reaches the loop through the wake-up descriptor."""


def signal_name(number: int) -> str:
    """A signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals
        return f"signal {number}"
