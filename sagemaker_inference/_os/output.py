"""What the server writes to the container's log, without ever waiting for who reads it.

Whoever reads stdout and stderr of a container may be slow, stuck or gone. That costs lines, and
nothing else: what cannot be written at once waits in memory, up to a limit, and what is lost beyond
it is counted in a line of its own when there is room again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sagemaker_inference._os.event_loop import EventLoop

# Of a program's lines; some seconds of a busy server's access lines.
MOST_WAITING: Final = 1 << 20
# Beyond that, for the supervisor's own lines: they say why a worker has ended.
_RESERVE: Final = 1 << 18
# How long what waits is tried again after, and how long at the end.
_RETRY_SECONDS: Final = 0.05
_LAST_SECONDS: Final = 1.0
# A pipe with room for one byte has room for so many (POSIX, PIPE_BUF).
_PIECE: Final = select.PIPE_BUF
# Access lines: room for what comes while this process is busy, and how long more may gather, since
# a look costs as much as what it finds.
_PIPE_SIZE: Final = 1 << 20
_GATHER_SECONDS: Final = 0.05
_READ_SIZE: Final = 1 << 17
_MOST_READS: Final = 16
_LOST: Final = b"sagemaker-inference: %d lines of the log were lost: nobody read it in time\n"


class Output:
    """One descriptor of the log.

    It may be shared with processes that know nothing of this one, so its own mode stays as it is.

    Args:
        fd: the descriptor; it stays open.
        loop: tries again what could not be written; None leaves that to the next line.
    """

    def __init__(self, fd: int, loop: EventLoop | None = None) -> None:
        self.fd = fd
        self._loop = loop
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._is_due = False
        # Threads of a program that runs a server in its own process log, too.
        self._lock = threading.RLock()
        self._descriptor = _open_nonblocking(fd)

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return self._size

    def write(self, data: bytes, *, is_important: bool = False) -> None:
        """Write whole lines; what cannot be written now follows, or is lost and counted.

        Args:
            data: the lines.
            is_important: whether they may wait where others are lost.
        """
        with self._lock:
            limit = MOST_WAITING + (_RESERVE if is_important else 0)
            if self._size + len(data) > limit:
                self.flush()
            if self._size + len(data) > limit:
                self._lost += data.count(b"\n")
            else:
                self._waiting.append(data)
                self._size += len(data)
            self.flush()

    def flush(self) -> None:
        """Write what waits, as far as there is room now."""
        with self._lock:
            try:
                while self._waiting:
                    self._write_first()
            except BlockingIOError:
                self._try_later()
            except OSError:
                # Nobody reads any more, or the disk is full: it may be otherwise later.
                self._lost += sum(data.count(b"\n") for data in self._waiting)
                self._waiting.clear()
                self._size = 0

    def _write_first(self) -> None:
        data = self._waiting[0]
        written = self._descriptor.write(data)
        self._waiting.popleft()
        self._size -= written
        if written < len(data):
            self._waiting.appendleft(data[written:])
        elif self._lost and not self._waiting:
            notice = _LOST % self._lost
            self._descriptor.write(notice)
            self._lost = 0

    def _try_later(self) -> None:
        if self._loop is not None and not self._is_due:
            self._is_due = True
            self._loop.after(_RETRY_SECONDS, self._on_due)

    def _on_due(self) -> None:
        self._is_due = False
        self.flush()

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Write what waits, for so long at most, and let go of the descriptor."""
        deadline = monotonic() + seconds
        self._loop = None
        self.flush()
        while self._waiting and (left := deadline - monotonic()) > 0:
            self._descriptor.wait(min(left, _RETRY_SECONDS))
            self.flush()
        self._descriptor.close()


class Outputs:
    """Stdout and stderr of a container, and a pipe for the access lines of workers.

    Args:
        loop: passes on what comes through the pipe, and what could not be written at once.
        out: the descriptor for what is printed.
        err: the descriptor for what is logged.

    Attributes:
        out, err: the two.
        access_fd: where workers write their access lines; a write to it never waits.
    """

    def __init__(self, loop: EventLoop, out: int = 1, err: int = 2) -> None:
        self.out, self.err = Output(out, loop), Output(err, loop)
        self._loop = loop
        self._reader, self.access_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a user may have only so many large pipes
            fcntl.fcntl(self.access_fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self._partial = b""
        loop.watch(self._reader, self._on_access)

    def _on_access(self) -> None:
        """Pass lines on, and from now on look at times, until none have come."""
        self._pass_on()
        self._loop.unwatch(self._reader)
        self._loop.after(_GATHER_SECONDS, self._look)

    def _look(self) -> None:
        if self._reader < 0:
            return
        if self._pass_on():
            self._loop.after(_GATHER_SECONDS, self._look)
        else:
            self._loop.watch(self._reader, self._on_access)

    def _pass_on(self) -> bool:
        """Pass lines on; whether any bytes had come."""
        has_come = False
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_READS):
                data = os.read(self._reader, _READ_SIZE)
                has_come = True
                lines, separator, self._partial = (self._partial + data).rpartition(b"\n")
                if separator:
                    self.err.write(lines + separator)
                if len(data) < _READ_SIZE:
                    break
        return has_come

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Pass on what has come, for so long at most, and close the pipe."""
        self._pass_on()
        self._loop.unwatch(self._reader)
        for fd in (self._reader, self.access_fd):
            os.close(fd)
        self._reader = -1
        for output in (self.out, self.err):
            output.close(seconds)


class _Polled:
    """A descriptor that is asked before each write whether it has room."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> int:
        if not self._poll.poll(0):
            raise BlockingIOError
        return os.write(self._fd, data[:_PIECE])

    def wait(self, seconds: float) -> None:
        self._poll.poll(seconds * 1000)

    def close(self) -> None:
        """Do nothing: the descriptor is somebody else's."""


class _Reopened(_Polled):
    """The same pipe or terminal, opened once more, so that only this one does not block."""

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)


class _Socket(_Polled):
    """A socket, which has a flag for each write."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._socket = socket.socket(fileno=os.dup(fd))

    def write(self, data: bytes) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._socket.close()


class _File(_Polled):
    """A file, which does not keep anybody waiting, and cannot be polled."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def wait(self, seconds: float) -> None:
        """Do nothing: there is room, or there never will be."""


def _open_nonblocking(fd: int) -> _Polled:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # it is closed: what is written is lost
        return _File(fd)
    if stat.S_ISSOCK(mode):
        return _Socket(fd)
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return _File(fd)
    try:
        path = f"/proc/self/fd/{fd}"
        return _Reopened(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        # Another user's, as a container's stdout often is, or nobody reads it any more.
        return _Polled(fd)


class LogStream:
    """What a handler of the module logging writes to, in front of an `Output`."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> None:
        """Write lines that are not to be lost before others."""
        self._output.write(text.encode(errors="backslashreplace"), is_important=True)

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        self._output.flush()

    def fileno(self) -> int:
        """The descriptor, for whoever asks whether it is a terminal."""
        return self._output.fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._output.fd)
