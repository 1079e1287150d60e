"""Load once, fork often: the zygote of the workers where preloading is asked for.

The zygote loads the model and never serves. For every worker it forks twice, so that the
copy becomes a child of the supervisor, which watches it like any other. The copies share the
zygote's memory until they write to it.
"""

from __future__ import annotations

import array
import gc
import os
import socket
import struct
from socket import socket as _Socket  # noqa: N812 - gevent replaces the one in the module
from typing import TYPE_CHECKING, Final, NoReturn

from sagemaker_inference import metrics
from sagemaker_inference._ipc.fds import send_fds
from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._os.child_process import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

_INDEX: Final = struct.Struct("=i")
_MOST_FDS: Final = 4


def request_copy(control: socket.socket, index: int, fds: Sequence[int]) -> None:
    """Ask a zygote for a worker.

    Args:
        control: the socket to the zygote.
        index: the place of the new process among the workers.
        fds: its control socket, standard output, standard error, and memory for metrics if any.

    Raises:
        OSError: the zygote is gone, or hangs.
    """
    send_fds(control, _INDEX.pack(index), fds)


def serve_copies(
    control: socket.socket,
    serve: Callable[[socket.socket, int], int],
    copying: Callable[[], AbstractContextManager[None]],
) -> NoReturn:
    """Fork a worker for each request; the supervisor ends it by a signal.

    Args:
        control: the socket to the supervisor.
        serve: what a copy does with its own control socket and index; returns its exit code.
        copying: the context in which a fork keeps what is the worker's own.
    """
    # What the garbage collector never looks at stays shared.
    gc.collect()
    gc.freeze()
    while True:
        data, raw, _, _ = socket.recv_fds(control, _INDEX.size, _MOST_FDS)
        (index,) = _INDEX.unpack(data)
        fds = array.array("i", raw)
        with copying():
            pid = _fork_twice(lambda fds=fds, index=index: _become(control, fds, index, serve))  # type: ignore[misc]
        for fd in fds:
            os.close(fd)
        control.send(Report("forked", index=index, pid=pid).dump())


def _become(
    control: socket.socket,
    fds: array.array[int],
    index: int,
    serve: Callable[[socket.socket, int], int],
) -> int:
    control.close()
    os.setsid()
    os.dup2(fds[1], 1)
    os.dup2(fds[2], 2)
    if len(fds) == _MOST_FDS:
        metrics.attach(fds[-1])
    for fd in fds[1:]:
        os.close(fd)
    return serve(_Socket(fileno=fds[0]), index)


def _fork_twice(work: Callable[[], int]) -> int:
    """Run ``work`` in a grandchild, whose parent ends at once; returns its process id."""
    reader, writer = os.pipe()
    child = os.fork() or _leave_after(lambda: _in_the_middle(reader, writer, work))
    os.close(writer)
    os.waitpid(child, 0)
    (pid,) = _INDEX.unpack(os.read(reader, _INDEX.size))
    os.close(reader)
    return int(pid)


def _in_the_middle(reader: int, writer: int, work: Callable[[], int]) -> int:
    middle = os.getpid()
    os.close(reader)
    copy = os.fork() or _leave_after(lambda: _as_copy(middle, writer, work))
    os.write(writer, _INDEX.pack(copy))
    return 0


def _as_copy(middle: int, writer: int, work: Callable[[], int]) -> int:
    os.close(writer)
    # Its death counts from now on: the supervisor's, not the one in the middle's.
    while os.getppid() == middle:
        os.sched_yield()
    die_with_parent()
    return work()


def _leave_after(work: Callable[[], int]) -> NoReturn:
    """What a forked process does instead of going on where its parent stands."""
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)
