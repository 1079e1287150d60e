"""What a worker's children inherit by a fork: nothing that is the worker's own.

A worker ignores SIGTERM and SIGINT, since the supervisor decides when it stops, and has sockets
that only it may use. A program that forks (``multiprocessing``, ``os.fork``) wants a child as
``python inference.py`` would make it: one that ``terminate()`` ends.

Handlers rather than SIG_IGN, since programs that user code starts by exec would inherit that.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._ipc import slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Inheritance:
    """Ignores the signals that stop a worker, and undoes that in its children.

    The signals are blocked around a fork: one that reaches the child before its dispositions are
    restored stays pending, and then ends it.

    Args:
        fds: the descriptors of this worker that a child must not use.
    """

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = tuple(fds)
        self._previous: dict[int, Any] = {}
        self._copying = False
        self._is_child = False
        # Several threads may fork at the same time, each with a mask of its own.
        self._thread = threading.local()

    def begin(self) -> None:
        """Ignore the signals from now on, and register what a fork has to do."""
        self.ignore_signals()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._restore_mask,
            after_in_child=self._after_in_child,
        )

    def ignore_signals(self) -> None:
        """Ignore the signals that stop a worker; remember what they did before."""
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, _ignore)

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Within the block, forks are workers too: they keep descriptors and dispositions."""
        self._copying = True
        try:
            yield
        finally:
            self._copying = False

    def take_over(self, fds: Sequence[int]) -> None:
        """Continue in a copy of the worker, which has these descriptors."""
        self._fds, self._copying = tuple(fds), False

    def _before_fork(self) -> None:
        self._thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def _restore_mask(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._thread.mask)

    def _after_in_child(self) -> None:
        # Only once: what a child opens may get the numbers of descriptors that it has closed.
        if not (self._copying or self._is_child):
            self._is_child = True
            for number, previous in self._previous.items():
                # The program may have set a handler of its own, which its children inherit.
                if signal.getsignal(number) is _ignore:
                    signal.signal(number, signal.SIG_DFL if previous is None else previous)
            self._let_go_of_descriptors()
        self._restore_mask()

    def _let_go_of_descriptors(self) -> None:
        """Put /dev/null in the place of the worker's descriptors.

        Not closed: Python objects of the worker would close whatever gets the same numbers later.
        """
        null = os.open(os.devnull, os.O_RDWR)
        connections = range(slots.FIRST_FD, slots.FIRST_FD + slots.count())
        for fd in (*self._fds, *connections):
            with suppress(OSError):
                os.dup2(null, fd, inheritable=False)
        os.close(null)


def _ignore(_number: int, _frame: object) -> None:
    """The handler of a signal that the supervisor acts on."""
