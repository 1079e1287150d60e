"""Workers without a front end: a test holds the other end of their connection."""

from __future__ import annotations

import contextlib
import socket
import textwrap
from typing import TYPE_CHECKING

from support.builders import LoopBench, settings
from support.mms_bytes import predict_one

from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._supervisor.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOURCE = """
    import os, time
    from sagemaker_inference import model_loader, transformer

    @model_loader
    def load(model_dir):
        return None

    @transformer
    def transform(model, body: str, content_type, accept):
        if body == "kill":
            os.kill(os.getpid(), 9)
        if body.startswith("sleep"):
            time.sleep(float(body[5:]))
        return body.upper(), "a/b"
"""


class Bench(LoopBench):
    """An owner of workers, and a front end of one connection."""

    def __init__(self, folder: Path, source: str, **changes: object) -> None:
        super().__init__()
        path = folder / "inference.py"
        path.write_text(textwrap.dedent(source))
        self.connections = Connections(SlotTable(), SlotPool())
        self.workers = Workers(
            settings(program=Program.from_file(str(path)), model_dir=str(folder), **changes),
            self.loop,
            self.connections,
            self.outputs,
            self,
        )
        self.front, theirs = socket.socketpair()
        self.front.setblocking(False)  # noqa: FBT003 - socket's own signature
        slot = self.connections.add(theirs)
        assert slot is not None
        self.connections.arm(slot)
        self.loop.every(0.05, self.tick)

    def close_connection(self, slot: int) -> None:
        self.loop.unwatch(self.connections.fd(slot))
        self.connections.close(slot)

    def is_busy(self) -> bool:
        """Whether any request is in progress."""
        pids = [worker.child.pid for worker in self.workers._workers]
        return any(self.connections.held_by(pid) for pid in pids)

    def tick(self) -> None:
        self.workers.reap()
        self.workers.check_time_limits()

    def ask(self, body: bytes) -> bytes:
        """Send a request; what comes back up to its end."""
        self.front.send(predict_one("id-1", body))
        answer = b""

        def has_come() -> bool:
            nonlocal answer
            try:
                answer += self.front.recv(65536)
            except BlockingIOError:
                return False
            return answer.endswith(b"\xff\xff\xff\xff")

        self.wait(has_come)
        return answer

    def close(self) -> None:
        self.workers.end_all()
        self.connections.dispose()
        self.outputs.close()
        self.loop.close()
        self.front.close()


@contextlib.contextmanager
def benches(folder: Path) -> Iterator[Callable[..., Bench]]:
    """A function that starts workers of a program; they are ended at the end of the block."""
    made: list[Bench] = []

    def make(source: str = SOURCE, **changes: object) -> Bench:
        made.append(Bench(folder, source, **changes))
        made[-1].workers.start()
        return made[-1]

    yield make
    for one in made:
        one.close()
