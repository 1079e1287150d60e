"""Workers whose programs have sessions, with sockets in place of the front end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any

from support.builders import config
from support.mms_bytes import predict_one

from sagemaker_inference._inference.sessions import HEADER, key_of
from sagemaker_inference._ipc.messages import Assignment
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.main import loop_for, run_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference._worker.loop import Loop
    from sagemaker_inference._worker.work import Work

JSON = ("Content-Type", "application/json")


class Workers:
    """Two workers in processes of their own, or one and the test in place of another."""

    def __init__(self, service: Any, folder: Path, workers: int, front: int = 4) -> None:
        prefix = str(folder / "1-")
        self.prefix = prefix
        self.service = service
        self.connections = Connections(SlotTable(), SlotPool(64), prefix)
        self.table = self.connections.table
        self.front: list[socket.socket] = []
        self.slots: list[int] = []
        for _ in range(front):
            ours, theirs = socket.socketpair()
            ours.settimeout(10)
            slot = self.connections.add(theirs)
            assert slot is not None
            self.front.append(ours)
            self.slots.append(slot)
        self.pids: list[int] = []
        self.controls: list[socket.socket] = []
        for index in range(workers):
            self._fork(index)
        for slot in self.slots:
            self.connections.arm(slot)

    def assignment(self, index: int, control: socket.socket) -> Assignment:
        return Assignment(
            program=None,
            handler_service="",
            model_name="model",
            model_dir="",
            index=index,
            gpu_id=None,
            control_fd=control.fileno(),
            # The loop closes its own at its end, which in a process of several is not that of all:
            # the number could be another file's by then.
            epoll_fd=os.dup(self.connections.epoll.fileno()),
            stop_fd=self.connections.stop_fd,
            table_fd=self.table.fd,
            journal_fd=self.connections.journal.fd,
            log_fd=2,
            config=config(timeout=5),
            sessions=self.prefix,
        )

    def control(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for slot in self.slots:
            self.connections.pass_on(slot, ours)
        self.controls.append(ours)
        return theirs

    def _fork(self, index: int) -> None:
        theirs = self.control()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                # As a worker, which has not got these ends.
                self.connections.stop()
                for sock in (*self.front, *self.controls):
                    sock.close()
                loop = loop_for(
                    self.service, self.assignment(index, theirs), theirs, AccessLog(2, 100)
                )
                run_loop(loop)
                loop.leave()
                self.service.close()
                code = 0
            except BaseException:  # noqa: BLE001 - os._exit would end it without a word
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        self.pids.append(pid)

    def send(self, data: Any, session: str = "", front: int = 0) -> None:
        headers = [JSON, *([(HEADER, session)] if session else [])]
        body = json.dumps(data).encode()
        self.front[front].sendall(predict_one(f"id-{front}", body, headers))

    def receive(self, front: int = 0) -> bytes:
        return self.front[front].recv(4096)

    def ask(self, data: Any, session: str = "", front: int = 0) -> tuple[int, int]:
        """The process that has answered, and how many requests its session has had."""
        self.send(data, session, front)
        answer = self.receive(front)
        pid, number = json.loads(answer[answer.rindex(b"[") : answer.rindex(b"]") + 1])
        return pid, number

    def begin(self, front: int = 0) -> tuple[str, int]:
        """The id of a new session, and the process that has it."""
        self.send(1, "NEW_SESSION", front)
        answer = self.receive(front)
        session = answer[: answer.index(b"; Expires=")].rpartition(b"\x00")[2].decode()
        # A length of four bytes stands before it.
        session = session[-(36 + 9) :]
        assert key_of(session)
        pid, _ = json.loads(answer[answer.rindex(b"[") : answer.rindex(b"]") + 1])
        return session, pid

    def wait_idle(self) -> None:
        deadline = time.monotonic() + 5
        while any(self.table.state(slot)[0] for slot in self.slots):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def close(self) -> None:
        self.connections.stop()
        for pid in self.pids:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        self.connections.dispose()
        for sock in (*self.front, *self.controls):
            sock.close()
        self.service.close()


@contextlib.contextmanager
def running(service: Any, folder: Path, workers: int = 2, **options: Any) -> Iterator[Workers]:
    made = Workers(service, folder, workers, **options)
    try:
        yield made
    finally:
        made.close()
    assert not [path for path in folder.iterdir() if path.is_socket()]


@contextlib.contextmanager
def alone(service: Any, folder: Path) -> Iterator[tuple[Workers, Loop]]:
    """The loop of a worker in this process, and no other worker."""
    with running(service, folder, 0) as bench:
        theirs = bench.control()
        made = loop_for(service, bench.assignment(0, theirs), theirs, AccessLog(2, 100))
        try:
            yield bench, made
        finally:
            made.leave()
            for connection in made.connections:
                connection.sock.detach()
            theirs.close()


def take(loop: Loop) -> list[Work]:
    """Wait for requests, and take them."""
    return loop.take(loop.epoll.poll(1, 4), time.monotonic(), at_once=False)


def one_of_each(bench: Workers) -> dict[int, str]:
    """A session of each worker."""
    found: dict[int, str] = {}
    deadline = time.monotonic() + 20
    while len(found) < 2:
        assert time.monotonic() < deadline
        # While one sleeps, the other one takes what comes.
        bench.send({"sleep": 0.02}, front=1)
        session, pid = bench.begin()
        found.setdefault(pid, session)
        bench.receive(1)
        bench.wait_idle()
    return found
