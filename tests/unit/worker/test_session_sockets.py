"""WebSockets of sessions, which are handed over to the worker that has them."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import loaded
from support.mms_bytes import upgrade
from support.session_bench import JSON, Workers, alone, running, take
from support.stream_bytes import StreamReader

from sagemaker_inference import Registry
from sagemaker_inference._inference.sessions import HEADER
from sagemaker_inference._ipc import slots
from sagemaker_inference._worker import session_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TALK = "/v1/talk"


def program() -> Any:
    """One with a place for one WebSocket in each worker."""

    async def talk(messages: Any, model: Any, context: Any) -> AsyncIterator[str]:
        context.session.state["n"] = context.session.state.get("n", 0) + 1
        yield str(context.session.state["n"])
        async for _ in messages:
            pass

    async def predict(data: Any) -> Any:
        return data

    registry = Registry()
    registry.model_loader(lambda: None)
    registry.session_start(lambda: None)
    registry.predictor(max_concurrency=1)(predict)
    registry.bidirectional(TALK)(talk)
    return loaded(registry)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workers]:
    """Two workers."""
    with running(program(), tmp_path) as made:
        yield made


class Open:
    """A WebSocket that is open, as the front end sees it."""

    def __init__(self, bench: Workers, session: str, front: int) -> None:
        self.sock = bench.front[front]
        self.sock.sendall(upgrade(TALK, "", f"id-{front}", [(HEADER, session)]))
        self.reader = StreamReader(self.sock)
        head = self.reader.head()
        assert head.status == 101
        self.session = head.headers.get(HEADER, "").partition(";")[0]
        self.first = self.reader.chunk()

    def close(self) -> None:
        self.sock.sendall(b"C")
        assert self.reader.rest() == []


def test_one_reaches_the_worker_of_its_session_and_takes_no_place_of_another(
    bench: Workers,
) -> None:
    begun = Open(bench, "NEW_SESSION", 0)
    begun.close()
    for turn in range(2, 8):
        one = Open(bench, begun.session, turn % 2)
        assert one.first == b"\x81%d" % turn
        one.close()
    # Each worker has its place still.
    for one in [Open(bench, "NEW_SESSION", front) for front in range(2)]:
        one.close()
    bench.wait_idle()


def test_one_whose_worker_has_no_place_is_refused(bench: Workers) -> None:
    begun = Open(bench, "NEW_SESSION", 0)
    bench.front[1].sendall(upgrade(TALK, "", "id-1", [JSON, (HEADER, begun.session)]))
    answer = bench.receive(1)
    assert b"The worker that has the session has no place for a further WebSocket." in answer
    other = Open(bench, "NEW_SESSION", 2)
    other.close()
    begun.close()
    again = Open(bench, begun.session, 3)
    assert again.first == b"\x812"
    again.close()


def test_one_that_is_lost_meanwhile_takes_no_place(
    bench: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for front in range(4):
        session = f"a-0000000{front}"
        bench.front[front].sendall(upgrade(TALK, "", "id-1", [JSON, (HEADER, session)]))
        assert b"session_lost" in bench.receive(front)
    time.sleep(0.05)
    for one in [Open(bench, "NEW_SESSION", front) for front in range(2)]:
        one.close()


def test_one_that_is_handed_over_takes_a_place_and_the_next_one_is_refused(tmp_path: Path) -> None:
    with alone(program(), tmp_path) as (bench, loop):
        assert isinstance(loop, session_loop.SessionLoop)
        key = loop._sessions.key
        message = upgrade(TALK, "", "id-1", [(HEADER, f"a-{key}")])
        refused = []
        for slot in bench.slots[:2]:
            # What another worker does that was handed the request.
            generation = bench.table.state(slot)[1]
            bench.table.write(slot, slots.HANDED_OVER, os.getpid(), generation, "id-1")
            note = session_loop._NOTE.pack(slot, generation, len(message))
            fd = slots.anonymous_file("test")
            os.write(fd, message)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
                other.connect(bench.prefix + key)
                socket.send_fds(other, [note], [fd])
            os.close(fd)
            [work] = take(loop)
            refused.append(work.requests[0].session is not None)
        assert refused == [False, True]
