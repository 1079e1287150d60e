"""A child process whose output is passed on line by line, and remembered for its obituary."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_REMEMBERED_LINES: Final = 20
# A line without an end is passed on in pieces of this size rather than kept for ever.
_LONGEST_LINE: Final = 65536

# Looked up before the fork: between fork and exec nothing may be imported.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Relay:
    """One output stream of a child.

    Args:
        source: the reading end of a pipe; closed with the relay.
        target: the descriptor that whole lines go to, if any.
        tail: gets the last lines.
    """

    def __init__(self, source: int, target: int | None, tail: deque[str]) -> None:
        os.set_blocking(source, False)  # noqa: FBT003 - os.set_blocking has no keyword
        self.source = source
        self._target = target
        self._tail = tail
        self._partial = b""

    def pump(self) -> bool:
        """Pass on what is there; False at the end of the stream."""
        while True:
            try:
                data = os.read(self.source, _LONGEST_LINE)
            except BlockingIOError:
                return True
            if not data:
                if self._partial:
                    self._emit(self._partial + b"\n")
                    self._partial = b""
                return False
            lines, separator, rest = (self._partial + data).rpartition(b"\n")
            if len(rest) >= _LONGEST_LINE:
                lines, separator, rest = lines + separator + rest, b"\n", b""
            self._partial = rest
            if separator:
                self._emit(lines + separator)

    def close(self) -> None:
        """Pass on what is left and close the pipe."""
        self.pump()
        os.close(self.source)

    def _emit(self, data: bytes) -> None:
        self._tail.extend(data.decode("utf-8", "replace").splitlines()[-_REMEMBERED_LINES:])
        if self._target is None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._target, view) :]
        except OSError:  # nobody reads the container's log any more; that must not stop serving
            pass


class ChildProcess:
    """A process that dies with this one and leads a group of its own.

    Args:
        command: the program and its arguments.
        env: its whole environment.
        pass_fds: descriptors it inherits, at the same numbers.
        stdout, stderr: where its lines go; None only remembers them.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        stdout: int | None = 1,
        stderr: int | None = 2,
    ) -> None:
        self.tail: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        # A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which decides.
        self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter, and the Java found
            command,
            env=env,
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
        if self._popen.stdout is None or self._popen.stderr is None:  # both are PIPE
            raise AssertionError
        self.relays = [
            Relay(os.dup(self._popen.stdout.fileno()), stdout, self.tail),
            Relay(os.dup(self._popen.stderr.fileno()), stderr, self.tail),
        ]
        self._popen.stdout.close()
        self._popen.stderr.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def reap(self) -> int | None:
        """The exit code once it has ended (negative: the signal), else None; never waits."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait until it has ended; the exit code."""
        return self._popen.wait()

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        self._popen.send_signal(number)

    def kill_group(self) -> None:
        """Kill it and whatever it has started."""
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def describe_exit(code: int) -> str:
    """An exit code in words: "ended with exit code 3", "was killed by SIGSEGV"."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
