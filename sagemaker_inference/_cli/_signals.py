"""SIGINT, SIGTERM and SIGHUP end a command: the first one has it clean up, a second one ends it."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sagemaker_inference._cli import INTERRUPTED, SIGNALLED
from sagemaker_inference._os import standard_streams

if TYPE_CHECKING:
    from types import FrameType

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")
# Seconds for what a second signal must not cut off: files that are not whole are being removed.
_CLEAN_UP_SECONDS: Final = 0.5
# Seconds for what a program has registered with `atexit`.
_EXIT_SECONDS: Final = 2.0


class EndedBySignal:
    """Has signals end a command as SIGINT does, so that it leaves nothing behind.

    Commands that serve take these signals over.

    Attributes:
        code: the exit code of a command that a signal has ended, as shells report it.
    """

    def __init__(self) -> None:
        self.code = INTERRUPTED
        self._is_ending = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _numbers():
            before = signal.getsignal(number)
            # nohup has one ignored.
            if before in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._interrupt)
                self._before[number] = before

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._interrupt:
                signal.signal(number, before)

    def _interrupt(self, number: int, interrupted: FrameType | None) -> None:
        self.code = SIGNALLED + number
        # The first one's handler may not have said so yet: an exception would end it, too, and
        # the two would be one.
        is_second = interrupted is not None and interrupted.f_code is _HANDLER
        if self._is_ending or is_second:
            # Not another exception, which might come while a file is being removed.
            _exit_within(_CLEAN_UP_SECONDS, self.code)
            return
        self._is_ending = True
        raise KeyboardInterrupt


_HANDLER: Final = EndedBySignal._interrupt.__code__  # noqa: SLF001 - of this file


def end_now(number: int, _frame: object) -> NoReturn:
    """Handle a signal by the end of this process."""
    os._exit(SIGNALLED + number)


def leave(code: int) -> NoReturn:
    """End this process, and wait for none of the threads that the program has left at work.

    What the program has registered with `atexit` is called, and has a limit.

    Args:
        code: the exit code.
    """
    for number in _numbers():
        signal.signal(number, end_now)
    _exit_within(_EXIT_SECONDS, code)
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does after its threads
    standard_streams.flush()
    os._exit(code)


def _exit_within(seconds: float, code: int) -> None:
    def end() -> None:
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=end, name="end", daemon=True).start()


def _numbers() -> list[signal.Signals]:
    """Those that this system has: Windows does not have all."""
    return [one for one in signal.Signals if one.name in _NAMES]
