"""First items of async programs: they come before further items of streams that have begun."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.stream_bench import ask, sender_of, service
from support.worker_bench import running

from sagemaker_inference._worker import async_senders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.stream_bench import Gate


@pytest.fixture(autouse=True)
def long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody lets others run for having run long enough."""
    monkeypatch.setattr(async_senders, "_TURN_SECONDS", 60.0)


def test_requests_that_come_during_a_stream_begin_before_it_goes_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def number(data: Any) -> AsyncIterator[int]:
        for item in range(4):
            yield next(moments)
            if (data, item) == (0, 1):
                gate.tell(b"in the middle")
                gate.wait()

    # Whatever the time is, it looks.
    monkeypatch.setattr(async_senders, "_GLANCE_SECONDS", 0.0)
    moments = itertools.count()
    with running(service(number), count=4) as bench:
        readers = [ask(bench, 0)]
        assert gate.hear() == b"in the middle"
        readers += [ask(bench, front, front=front) for front in (1, 2, 3)]
        gate.open()
        items = []
        for reader in readers:
            reader.head()
            items.append([int(item) for item in b"".join(reader.rest()).split()])
    going_on, *newcomers = items
    firsts = [each[0] for each in newcomers]
    assert max(firsts) < going_on[3]
    assert max(firsts) < min(each[1] for each in newcomers)


def test_a_stream_goes_on_though_requests_come_all_the_time() -> None:
    async def count(data: Any) -> AsyncIterator[int]:
        for item in range(1000):
            yield item

    handler = service(count)
    ours, theirs = socket.socketpair()

    async def send() -> Any:
        sender = await sender_of(handler, ours)
        sender._limits.has_newcomers = lambda: True  # there is no end of them
        return await sender.send()

    ending = asyncio.run(asyncio.wait_for(send(), 10))
    assert (ending.name, ending.is_connected) == ("complete", True)
    ours.close()
    theirs.close()
