"""The test client where a stream is open: other requests, and those that would wait for ever."""

from __future__ import annotations

import asyncio
import threading
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference.asgi import Application
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Registry

NAMES_THE_STREAM = r"a stream that this thread has open, and answers no other request"


def counting(registry: Registry, *, is_async: bool = False, **options: Any) -> None:
    registry.model_loader(lambda: None)

    def count(data: int) -> Iterator[int]:
        yield from range(data)

    async def count_async(data: int) -> AsyncIterator[int]:
        for number in range(data):
            await asyncio.sleep(0)
            yield number

    registry.predictor(**options)(count_async if is_async else count)


@pytest.mark.parametrize(
    "options",
    [{}, {"threads": 2}, {"is_async": True, "max_concurrency": 2}],
    ids=["plain", "threads", "async"],
)
def test_a_request_that_waits_for_this_threads_own_streams_is_refused(
    registry: Registry, options: dict[str, Any]
) -> None:
    counting(registry, **options)
    room = 2 if options else 1
    with TestClient(registry) as client:
        with client.stream(3) as first:
            assert next(first.iter_json()) == 0
            if room > 1:
                assert client.invoke(1).status_code == 200
                # The first one goes on where it has stopped.
                with client.stream(2) as second:
                    _refused(client)
                    assert list(second.iter_json()) == [0, 1]
            else:
                _refused(client)
            assert client.ping().status_code == 200
            assert list(first.iter_json()) == [1, 2]
            # It has ended, though the block has not.
            assert client.invoke(1).status_code == 200
        assert client.invoke(1).status_code == 200


def _refused(client: TestClient) -> None:
    with pytest.raises(RuntimeError, match=NAMES_THE_STREAM):
        client.invoke(1)
    with pytest.raises(RuntimeError, match=NAMES_THE_STREAM), client.stream(1):
        pass


def test_a_request_of_another_thread_waits_for_the_stream(registry: Registry) -> None:
    counting(registry)
    statuses: list[int] = []
    with TestClient(registry) as client, client.stream(3) as stream:
        assert next(stream.iter_json()) == 0
        other = threading.Thread(target=lambda: statuses.append(client.invoke(1).status_code))
        other.start()
        # Longer than a request of this thread would wait.
        other.join(0.5)
        assert statuses == []
        assert list(stream.iter_json()) == [1, 2]
        other.join(20)
        assert statuses == [200]


def test_a_program_that_is_slow_is_waited_for(registry: Registry) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor(threads=2)
    def predict(data: int) -> Any:
        if data:
            return iter(range(data))
        sleep(0.5)
        return 7

    with TestClient(registry) as client, client.stream(3) as stream:
        assert client.invoke(0).json() == 7
        assert list(stream.iter_json()) == [0, 1, 2]


def test_a_stream_that_another_thread_reads_is_not_waited_for_in_vain(registry: Registry) -> None:
    counting(registry)
    read: list[int] = []
    with TestClient(registry) as client, client.stream(5) as stream:
        begun = threading.Event()

        def read_slowly() -> None:
            for number in stream.iter_json():
                begun.set()
                sleep(0.2)
                read.append(number)

        other = threading.Thread(target=read_slowly)
        other.start()
        assert begun.wait(20)
        assert client.invoke(1).status_code == 200
        other.join(20)
    assert read == [0, 1, 2, 3, 4]


def test_nobody_waits_for_a_client_that_has_been_left(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    begun, may_end = threading.Event(), threading.Event()

    @registry.predictor
    def predict(data: int) -> int:
        begun.set()
        may_end.wait(20)
        return data

    outcomes: list[object] = []

    def ask(client: TestClient) -> None:
        try:
            outcomes.append(client.invoke(1).status_code)
        except RuntimeError as error:
            outcomes.append(str(error))

    with TestClient(registry) as client:
        threads = [threading.Thread(target=ask, args=[client]) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert begun.wait(20)
        threading.Timer(0.2, may_end.set).start()
    for thread in threads:
        thread.join(20)
    assert len(outcomes) == 4
    left = "the block of `with TestClient(...)` was left before the response came"
    assert {*outcomes} <= {200, 503, left}


def test_a_request_that_nobody_can_answer_any_more_says_so(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting(registry)
    begun = threading.Event()

    async def wait_for_ever(*_: object) -> None:
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(Application, "__call__", wait_for_ever)
    raised: list[str] = []

    def ask(client: TestClient) -> None:
        with pytest.raises(RuntimeError) as caught:
            client.invoke(1)
        raised.append(str(caught.value))

    with TestClient(registry) as client:
        thread = threading.Thread(target=ask, args=[client])
        thread.start()
        assert begun.wait(20)
    thread.join(20)
    assert raised == ["the block of `with TestClient(...)` was left before the response came"]
