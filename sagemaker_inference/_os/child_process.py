"""A child process: its output is passed on line by line, and its last lines are kept."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_inference._os.output import Output

    Targets = tuple[Output | None, Output | None]

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# Not a code that a process can exit with.
UNKNOWN_EXIT: Final = 256
_REMEMBERED_LINES: Final = 20
# A longer line is passed on in pieces of this size, so that memory is bounded.
_LONGEST_LINE: Final = 65536
# Others have their turn after so many.
_MOST_READS: Final = 16
# For one that was killed.
_LONGEST_WAIT_SECONDS: Final = 2.0
_WAIT_STEP_SECONDS: Final = 0.002

# Looked up here, since nothing may be imported between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has exited (prctl(2), subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent exits, for whatever reason."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def starters_python_path() -> str:
    """PYTHONPATH for running a handler service, which may be any module importable here."""
    inherited = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([sys.path[0] or os.getcwd(), inherited])  # noqa: PTH109 - as text


class Relay:
    """One output stream of a child.

    Args:
        source: the read end of a pipe; closed with the relay.
        target: where complete lines go; None writes none.
        tail: collects the last lines.
    """

    def __init__(self, source: int, target: Output | None, tail: deque[str]) -> None:
        os.set_blocking(source, False)
        self.source = source
        self._target = target
        self._tail = tail
        self._partial = b""

    def pump(self) -> bool:
        """Pass on available output, for a while; return False at the end of the stream."""
        for _ in range(_MOST_READS):
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
        return True

    def say(self, text: str) -> None:
        """Pass on lines as if the child had written them."""
        self._emit(text.encode(errors="backslashreplace") + b"\n")

    def close(self) -> None:
        """Pass on the remaining output and close the pipe."""
        self.pump()
        os.close(self.source)

    def _emit(self, data: bytes) -> None:
        self._tail.extend(data.decode("utf-8", "replace").splitlines()[-_REMEMBERED_LINES:])
        if self._target is not None:
            self._target.write(data)


class ChildProcess:
    """A process that dies with this one and leads its own process group.

    Args:
        pid: its process id.
        sources: the read ends of its standard output and standard error; closed with it.
        targets: where the lines of each go; None only keeps the last ones.
    """

    def __init__(self, pid: int, sources: tuple[int, int], targets: Targets = (None, None)) -> None:
        self.pid = pid
        self.tail: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        self.relays = [
            Relay(source, target, self.tail)
            for source, target in zip(sources, targets, strict=True)
        ]
        self._exit_code: int | None = None

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        targets: Targets = (None, None),
    ) -> ChildProcess:
        """Start a program with exactly this environment and these inherited descriptors.

        Raises:
            OSError: it cannot be started.
        """
        out, err = os.pipe(), os.pipe()
        # A session of its own: Ctrl-C in a terminal reaches only the supervisor, which decides.
        try:
            popen = subprocess.Popen(  # noqa: S603 - our interpreter, or the Java that was looked up
                command,
                env=env,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=out[1],
                stderr=err[1],
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
            )
        except OSError:
            os.close(out[0])
            os.close(err[0])
            raise
        finally:
            os.close(out[1])
            os.close(err[1])
        child = cls(popen.pid, (out[0], err[0]), targets)
        # `reap` waits for the child: Popen must not do so as well when it is deleted.
        popen.returncode = 0
        return child

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still, as after SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:  # it has ended
            return False
        # The state stands behind the name, which may hold anything (proc(5)).
        return stat.rpartition(b")")[2].split()[0] == b"T"

    def reap(self) -> int | None:
        """The exit code if it has exited (negative: the signal), else None; does not block."""
        if self._exit_code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # reaped elsewhere
                self._exit_code = UNKNOWN_EXIT
            else:
                self._exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self._exit_code

    def wait(self, seconds: float = _LONGEST_WAIT_SECONDS) -> int:
        """Wait until it has ended, for so long at most; the exit code.

        One that was killed may take a while: the kernel waits for its device, or its disk.
        """
        deadline = monotonic() + seconds
        while (code := self.reap()) is None and monotonic() < deadline:
            time.sleep(_WAIT_STEP_SECONDS)
        return UNKNOWN_EXIT if code is None else code

    def say(self, text: str) -> None:
        """Pass on lines as if it had written them to its standard error."""
        self.relays[1].say(text)

    def signal(self, number: int) -> None:
        """Send a signal, unless it has exited."""
        if self._exit_code is None:
            # A forked worker is the zygote's child, and may exit before that is noticed here.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill it and the processes it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """An exit code in words: "ended with exit code 3", "was killed by SIGSEGV"."""
    if code == UNKNOWN_EXIT:
        return "ended"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
