"""A worker's loop in a thread of the test, with sockets in place of the front end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any

from support.builders import config
from support.mms_bytes import END, number, text

from sagemaker_inference._http.messages import Request, Response
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.messages import Assignment
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.loop import Loop
from sagemaker_inference._worker.main import run_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


LOAD = b"L" + text("model") + text("/models/m") + number(1) + text("service") + END + text("io")


def answer(identity: str, body: bytes, batch: int = 1) -> bytes:
    """What the front end must get for a request answered with 200."""
    return (
        number(200) + text("OK") + text(identity) + text("a/b") + number(200) + text("Fine")
        + number(1) + text("x-batch") + text(str(batch)) + text(body) + END
    )  # fmt: skip


def is_busy(connections: Connections) -> bool:
    """Whether any request is in progress."""
    return any(connections.table.state(slot)[0] != slots.IDLE for slot in connections)


class Echo:
    """Answers with the body in upper case, and tells the size of the batch."""

    readable: Sequence[str] = ()
    writable: Sequence[str] = ()

    def __init__(self, concurrency: Concurrency | None = None, pause: float = 0) -> None:
        self.concurrency = concurrency or Concurrency()
        self.pause = pause

    run = staticmethod(asyncio.run)

    def load(self, model_dir: str, gpu_id: int | None = None, model_name: str = "") -> None: ...

    has_idle_work = False

    def use_idle_time(self) -> None: ...

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None: ...

    def close(self) -> None: ...

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        time.sleep(self.pause)  # noqa: ASYNC251 - a blocking predictor
        return [
            Response(
                bytes(request.body or b"").upper(),
                "a/b",
                headers={"x-batch": str(len(requests))},
                phrase="Fine",
            )
            for request in requests
        ]


class Awaits(Echo):
    """Awaits a while, and tells how many did so at the same time."""

    def __init__(self) -> None:
        super().__init__(Concurrency(is_async=True))
        self.now = self.most = 0

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        self.now += 1
        self.most = max(self.most, self.now)
        if requests[0].id == "cancel":
            raise asyncio.CancelledError
        await asyncio.sleep(10 if requests[0].id == "slow" else 0.1)
        self.now -= 1
        if requests[0].id == "most":
            return [Response(str(self.most).encode(), "a/b", phrase="Fine") for _ in requests]
        return await super().answer(requests)


class Bench:
    """A loop in a process of its own, and the front end's ends of its connections."""

    def __init__(
        self,
        service: Any,
        count: int = 1,
        limit: int = 1 << 20,
        access: AccessLog | None = None,
        timeout: float = 0.5,
    ) -> None:
        self.connections = Connections(SlotTable(), SlotPool())
        self.table = self.connections.table
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.front: list[socket.socket] = []
        for _ in range(count):
            self.connect()
        assignment = Assignment(
            program=None,
            handler_service="",
            model_name="model",
            model_dir="",
            index=0,
            gpu_id=None,
            control_fd=theirs.fileno(),
            epoll_fd=self.connections.epoll.fileno(),
            stop_fd=self.connections.stop_fd,
            table_fd=self.table.fd,
            journal_fd=self.connections.journal.fd,
            log_fd=2,
            config=config(payload_limit=limit, response_limit=limit, timeout=timeout),
        )
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                # As a worker, which has not got these ends: else none of them would ever close.
                self.connections.stop()
                for sock in (*self.front, self.control):
                    sock.close()
                run_loop(Loop(service, assignment, theirs, access or AccessLog(2, 100)))
                code = 0
            except BaseException:  # noqa: BLE001 - os._exit would end it without a word
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()

    def connect(self) -> int:
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        slot = self.connections.add(theirs)
        assert slot is not None
        self.connections.pass_on(slot, self.control)
        self.connections.arm(slot)
        self.front.append(ours)
        return slot

    def exchange(self, data: bytes, expected: bytes, front: int = 0) -> None:
        self.front[front].sendall(data)
        self.expect(expected, front)

    def expect(self, expected: bytes, front: int = 0) -> None:
        got = b""
        while len(got) < len(expected):
            more = self.front[front].recv(len(expected) - len(got))
            assert more, f"closed after {got!r}"
            got += more
        assert got == expected

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def wait_state(self, state: int, slot: int) -> None:
        self.wait_for(lambda: self.table.state(slot)[0] == state)

    def wait_running(self, slot: int = 0) -> None:
        self.wait_state(slots.RUNNING, slot)

    def wait_kept(self, slot: int, size: int) -> None:
        self.wait_for(lambda: self.table.read(slot).kept == size)

    def wait_idle(self) -> None:
        deadline = time.monotonic() + 5
        while is_busy(self.connections):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def stop(self) -> None:
        self.connections.stop()
        code = self.close()
        assert code == 0, f"the worker ended with {code}"

    def close(self) -> int:
        """Wait for the process to end; returns its exit code."""
        _, status = os.waitpid(self.pid, 0)
        self.connections.dispose()
        for sock in (*self.front, self.control):
            sock.close()
        return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def running(
    service: Any, count: int = 1, access: AccessLog | None = None, timeout: float = 0.5
) -> Iterator[Bench]:
    made = Bench(service, count, access=access, timeout=timeout)
    try:
        yield made
    finally:
        made.stop()
