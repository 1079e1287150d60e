"""The test client's streams: what is read, when the program goes on, and each way to end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.streams import wait_until

from sagemaker_inference import metrics
from sagemaker_inference.asgi._exchange import Exchange
from sagemaker_inference.errors import GenericInferenceToolkitError, UnprocessableInputError
from sagemaker_inference.testing import ServerSentEvent, TestClient, _stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Context, Registry


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Metrics of this test only."""
    metrics.reset()
    yield
    metrics.reset()


KINDS = ["plain", "threads", "async"]


class Program:
    """Yields numbers, and notes how many it was asked for and how it has ended."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self.made: list[int] = []
        self.endings: list[str] = []
        self.error: BaseException | None = None
        registry.model_loader(lambda: None)
        predict: Any = self.predict_async if kind == "async" else self.predict
        registry.predictor(**({"threads": 2} if kind == "threads" else {}))(predict)

    def predict(self, count: int) -> Iterator[int]:
        try:
            for number in range(count):
                self.made.append(number)
                yield number
            self.finish()
        except GeneratorExit:
            self.endings.append("closed")
            raise

    async def predict_async(self, count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                self.made.append(number)
                yield number
                await asyncio.sleep(0)
            self.finish()
        except (GeneratorExit, asyncio.CancelledError):
            self.endings.append("closed")
            raise

    def finish(self) -> None:
        if self.error is not None:
            raise self.error
        self.endings.append("complete")


def yielding(registry: Registry, *items: Any, **options: Any) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor(**options)
    def predict(data: Any) -> Any:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_is_made_when_it_is_asked_for(registry: Registry, kind: str) -> None:
    program = Program(registry, kind)
    with TestClient(registry) as client:
        with client.stream(4) as stream:
            assert stream.status_code == 200
            assert stream.content_type == "application/jsonlines"
            assert len(stream.headers["X-Request-Id"]) == 36
            assert repr(stream) == "<Stream 200 application/jsonlines>"
            assert stream.raise_for_status() is stream
            for number, chunk in enumerate(stream):
                assert chunk == b"%d\n" % number
                assert program.made == list(range(number + 1))
        assert program.endings == ["complete"]
        page = client.request("GET", "/metrics").text
        assert 'sagemaker_inference_streams_total{end="complete"} 1' in page


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [0, 1, 3])
def test_who_leaves_early_closes_the_program(registry: Registry, kind: str, read: int) -> None:
    program = Program(registry, kind)
    with TestClient(registry) as client:
        with client.stream(1 << 30) as stream:
            assert [next(stream.iter_json()) for _ in range(read)] == list(range(read))
        assert program.endings == ["closed"]
        assert len(program.made) <= read + 1
        page = client.request("GET", "/metrics").text
        assert 'sagemaker_inference_streams_total{end="client_gone"} 1' in page
        assert 'requests_total{path="/invocations",status="499"} 1' in page
        with pytest.raises(RuntimeError, match=r"the stream is closed: read it within the block"):
            stream.read()
        assert client.invoke(1).body == b"0\n"


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_in_the_block_closes_the_program(registry: Registry, kind: str) -> None:
    program = Program(registry, kind)
    with TestClient(registry) as client:
        with pytest.raises(ZeroDivisionError), client.stream(9) as stream:
            _ = [1 / int(line) for line in stream.iter_lines()]
        assert program.endings == ["closed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accept", ["application/jsonlines", "text/event-stream"])
def test_a_failure_is_raised_where_the_next_item_would_be(
    registry: Registry, kind: str, accept: str
) -> None:
    program = Program(registry, kind)
    program.error = KeyError("lost")
    with TestClient(registry) as client, client.stream(2, accept=accept) as stream:
        got: list[Any] = []
        items = stream.iter_json() if "json" in accept else stream.iter_events()
        with pytest.raises(KeyError, match="lost"):
            got += [item if isinstance(item, int) else item.json() for item in items]
        assert program.made == [0, 1]
        assert stream.error is program.error
        assert stream.traceback.endswith("KeyError: 'lost'\n")
        with pytest.raises(KeyError):
            stream.raise_for_status()
        assert stream.status_code == 200


def test_lines_and_chunks_have_the_record_of_a_failure(registry: Registry) -> None:
    yielding(registry, 1, ValueError("lost"))
    with TestClient(registry) as client:
        with client.stream(0) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "1"
            assert stream.error is None
            assert stream.traceback == ""
            assert next(lines).startswith('{"error": {"code": "prediction_failed"')
            with pytest.raises(ValueError, match="lost"):
                next(lines)
        with client.stream(0) as stream, pytest.raises(ValueError, match="lost"):
            stream.read()


@pytest.mark.parametrize("accept", ["application/jsonlines", "text/event-stream"])
def test_a_failure_before_the_first_item_is_a_response(registry: Registry, accept: str) -> None:
    yielding(registry, UnprocessableInputError("Send a dict."), 1)
    with TestClient(registry) as client:
        with client.stream(0, accept=accept) as stream:
            assert stream.status_code == 422
            assert b"Send a dict." in stream.read()
            assert stream.read() == b""
        for read in ("iter_json", "iter_events"):
            with client.stream(0, accept=accept) as stream:
                with pytest.raises(UnprocessableInputError, match="Send a dict"):
                    next(getattr(stream, read)())
                with pytest.raises(UnprocessableInputError, match="Send a dict"):
                    stream.raise_for_status()
        # A status that no handler has raised.
        with (
            client.stream(0, path="/nowhere") as stream,
            pytest.raises(GenericInferenceToolkitError, match="nothing at /nowhere") as caught,
        ):
            stream.raise_for_status()
        assert caught.value.status_code == 404


def test_a_whole_response_is_one_chunk(registry: Registry) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data: Any, model: None, context: Context) -> Any:
        return [data, context.headers["x-more"], context.custom_attributes, context.path]

    with (
        TestClient(registry) as client,
        client.stream(
            "a", accept="application/json", custom_attributes="b", headers={"X-More": "c"}
        ) as stream,
    ):
        assert list(stream) == [b'["a","c","b","/invocations"]']
        assert list(stream) == []


def test_nothing_yielded_is_an_empty_body(registry: Registry) -> None:
    yielding(registry)
    with TestClient(registry) as client, client.stream(0) as stream:
        assert stream.status_code == 200
        assert list(stream.iter_json()) == []


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        (["a\nb", "c\n", "d"], ["a", "bc", "d"]),
        (["a\r", "\nb\rc\r"], ["a", "b", "c"]),
        (["\n\n", "\r"], ["", "", ""]),
        (["a\u2028b\x0b\n"], ["a\u2028b\x0b"]),
        (["a\nb"], ["a", "b"]),
        (["", "a", "", "\n"], ["a"]),
    ],
)
def test_lines_end_where_they_end(registry: Registry, chunks: list[str], lines: list[str]) -> None:
    yielding(registry, *chunks)
    with TestClient(registry) as client, client.stream(0, accept="text/plain") as stream:
        assert list(stream.iter_lines()) == lines


def test_a_character_may_be_in_two_chunks(registry: Registry) -> None:
    yielding(registry, b"\xc3", b"\xa9\n")
    with TestClient(registry) as client, client.stream(0, accept="text/plain") as stream:
        assert list(stream.iter_lines()) == ["é"]


def test_events_have_their_fields(registry: Registry) -> None:
    written = [
        b": a comment\n\n",
        b"event: start\nid: 7\nretry: 250\ndata: {\ndata: }\n\n",
        b"data:  two spaces\n",
        b"\nid\ndata\nretry: soon\n\nevent: none\n\n",
        b"data: [DONE]\r\n\r\ndata: cut off",
    ]
    yielding(registry, *written)
    with TestClient(registry) as client, client.stream(0, accept="text/event-stream") as stream:
        events = list(stream.iter_events())
    assert events == [
        ServerSentEvent("start", "{\n}", "7", 250),
        ServerSentEvent("message", " two spaces", "7"),
        ServerSentEvent("message", "", ""),
        ServerSentEvent("message", "[DONE]", ""),
    ]
    assert events[0].json() == {}


def test_an_iterator_goes_on_where_it_has_stopped(registry: Registry) -> None:
    yielding(registry, b"1\n2\n\n3\n", b"\n4\n")
    with TestClient(registry) as client, client.stream(0) as stream:
        assert next(stream.iter_json()) == 1
        for number in stream.iter_json():
            assert number == 2
            break
        assert next(stream.iter_lines()) == ""
        assert next(stream.iter_lines()) == "3"
        assert list(stream.iter_json()) == [4]


def test_paths_of_openai_have_events(registry: Registry) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor("/v1/completions")
    def predict(data: Any) -> Iterator[Any]:
        yield {"text": "a"}
        yield {"text": "b"}

    with (
        TestClient(registry) as client,
        client.stream({"stream": True}, path="/v1/completions") as stream,
    ):
        data = [event.data for event in stream.iter_events()]
    assert data == ['{"text":"a"}', '{"text":"b"}', "[DONE]"]


def test_a_reader_that_is_too_slow_is_disconnected(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_CLIENT_WRITE_TIMEOUT", "1")
    program = Program(registry, "plain")
    with TestClient(registry) as client, client.stream(3) as stream:
        items = stream.iter_json()
        assert next(items) == 0
        wait_until(lambda: program.endings)
        assert program.endings == ["closed"]
        with pytest.raises(GenericInferenceToolkitError, match="broke off"):
            next(items)


def test_a_program_that_is_at_work_is_not_waited_for_without_end(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stream, "_PATIENCE", 0.05)
    is_at_work, may_go_on = threading.Event(), threading.Event()
    endings: list[str] = []
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data: Any) -> Iterator[int]:
        try:
            yield 1
            is_at_work.set()
            may_go_on.wait(20)
            yield 2
        except GeneratorExit:
            endings.append("closed")
            raise

    with (
        ThreadPoolExecutor(1) as pool,
        TestClient(registry) as client,
        client.stream(0) as stream,
    ):
        items = stream.iter_json()
        assert next(items) == 1
        pool.submit(next, items, None)
        assert is_at_work.wait(20)
        stream._call.leave()
        assert not endings
        may_go_on.set()
        wait_until(lambda: endings)


def test_a_client_that_ends_closes_its_streams(registry: Registry) -> None:
    program = Program(registry, "plain")
    client = TestClient(registry)
    with client:
        opened = client.stream(9)
        stream = opened.__enter__()
        assert next(stream.iter_json()) == 0
    assert program.endings == ["closed"]
    with pytest.raises(RuntimeError, match="the stream is closed"):
        stream.read()
    opened.__exit__(None, None, None)


def test_a_client_that_ends_leaves_what_has_not_begun(registry: Registry) -> None:
    is_at_work, may_go_on = threading.Event(), threading.Event()
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data: Any) -> int:
        is_at_work.set()
        may_go_on.wait(20)
        return 1

    def read() -> bytes:
        with client.stream(0) as stream:
            return stream.read()

    with TestClient(registry) as client, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert is_at_work.wait(20)
        [call] = client._streaming
        call.leave()
        may_go_on.set()
        with pytest.raises(RuntimeError, match="the stream is closed"):
            reading.result(20)


def test_several_streams_are_read_at_the_same_time(registry: Registry) -> None:
    Program(registry, "async")
    with TestClient(registry) as client, client.stream(3) as one, client.stream(2) as other:
        pairs = zip(one.iter_json(), other.iter_json(), strict=False)
        assert list(pairs) == [(0, 0), (1, 1)]


def test_streams_of_a_batch_are_read_by_threads(registry: Registry) -> None:
    sizes: list[int] = []
    registry.model_loader(lambda: None)

    @registry.predictor(max_batch_size=3, max_batch_delay=10)
    async def predict(batch: list[int]) -> AsyncIterator[list[int]]:
        sizes.append(len(batch))
        for factor in (1, 2):
            yield [number * factor for number in batch]

    def read(number: int) -> list[int]:
        with client.stream(number) as stream:
            return list(stream.iter_json())

    with TestClient(registry) as client, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, [1, 2, 3])) == [[1, 2], [2, 4], [3, 6]]
    assert sizes == [3]


def test_it_is_usable_within_an_event_loop(registry: Registry) -> None:
    Program(registry, "async")

    async def test() -> list[int]:
        with TestClient(registry) as client, client.stream(2) as stream:
            return list(stream.iter_json())

    assert asyncio.run(test()) == [0, 1]


def test_what_cannot_be_sent_is_refused(registry: Registry) -> None:
    Program(registry, "plain")
    client = TestClient(registry)
    with pytest.raises(RuntimeError, match="with TestClient"), client.stream(1):
        pass
    with client, pytest.raises(TypeError, match="writes 'a/b'"), client.stream([1], "a/b"):
        pass


def test_a_fault_of_the_application_is_raised(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    async def fail(*_: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(Exchange, "respond", fail)
    with (
        TestClient(registry) as client,
        pytest.raises(KeyError, match="ours"),
        client.stream(1),
    ):
        pass


def test_no_thread_is_left(registry: Registry) -> None:
    before = set(threading.enumerate())
    Program(registry, "async")
    with TestClient(registry) as client, client.stream(9) as stream:
        next(stream.iter_json())
    assert set(threading.enumerate()) <= before
