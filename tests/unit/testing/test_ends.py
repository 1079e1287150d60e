"""The end of a program in this process: it is waited for, and not for ever."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi_server import Life, ask, run

from sagemaker_inference import asgi
from sagemaker_inference.asgi import _application, _ending
from sagemaker_inference.errors import GenericInferenceToolkitError
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference import Registry

INTERRUPTED, OTHERWISE = 0.1, 0.2


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones."""
    monkeypatch.setattr(_ending, "_QUIET_SECONDS", 0.05)
    for module in (_ending, _application):
        monkeypatch.setattr(module, "INTERRUPTED_SECONDS", INTERRUPTED)
        monkeypatch.setattr(module, "SECONDS", OTHERWISE)


class Hanging:
    """A program that hangs until it may go on.

    Attributes:
        registry: its handlers.
        is_at_work: set when it hangs.
        may_go_on: ends that.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.is_at_work = threading.Event()
        self.may_go_on = threading.Event()
        registry.model_loader(lambda: None)

    def hang(self) -> None:
        """Hang."""
        self.is_at_work.set()
        self.may_go_on.wait(20)


@pytest.fixture
def hanging(registry: Registry) -> Iterator[Hanging]:
    """A program that hangs, at the longest until the end of the test."""
    made = Hanging(registry)
    yield made
    made.may_go_on.set()


def _said(caplog: pytest.LogCaptureFixture, activity: str, seconds: float) -> bool:
    waits = f"still at work ({activity}): waiting for it for up to {seconds:g} s"
    ended = f"has not ended within {seconds:g} s ({activity}), and is left at work"
    return waits in caplog.text and ended in caplog.text


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(None, OTHERWISE), (ValueError, OTHERWISE), (KeyboardInterrupt, INTERRUPTED)],
)
def test_a_request_that_hangs_is_left(
    hanging: Hanging,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException] | None,
    seconds: float,
) -> None:
    hanging.registry.predictor(lambda data: hanging.hang() or data)
    problems: list[str] = []

    def ask_for(client: TestClient) -> None:
        with pytest.raises(RuntimeError) as caught:
            client.invoke(1)
        problems.append(str(caught.value))

    with suppress(KeyboardInterrupt, ValueError), TestClient(hanging.registry) as client:
        thread = threading.Thread(target=ask_for, args=[client])
        thread.start()
        assert hanging.is_at_work.wait(10)
        if error is not None:
            raise error
    thread.join(10)
    assert problems == ["the block of `with TestClient(...)` was left before the response came"]
    assert _said(caplog, "1 request(s) in progress", seconds)


def test_a_program_that_hangs_when_it_cleans_up_is_left(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    hanging.registry.predictor(lambda data: data)
    hanging.registry.on_shutdown(hanging.hang)
    with TestClient(hanging.registry) as client:
        assert client.invoke(1).json() == 1
    assert _said(caplog, "@on_shutdown", OTHERWISE)


def test_a_program_that_ends_is_waited_for(
    hanging: Hanging, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ending, "SECONDS", 20.0)
    hanging.registry.predictor(lambda data: data)
    hanging.registry.on_shutdown(hanging.hang)
    with TestClient(hanging.registry):
        timer = threading.Timer(0.3, hanging.may_go_on.set)
        timer.start()
    timer.join()
    assert "waiting for it for up to 20 s" in caplog.text
    assert "has not ended" not in caplog.text


def test_streams_that_hang_are_left_together(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    at_work = 0

    @hanging.registry.predictor(threads=4)
    def predict(data: Any) -> Iterator[Any]:
        nonlocal at_work
        yield data
        at_work += 1
        hanging.hang()

    def read(client: TestClient, number: int) -> None:
        with client.stream(number) as stream, pytest.raises(GenericInferenceToolkitError):
            stream.read()

    with TestClient(hanging.registry) as client:
        threads = [threading.Thread(target=read, args=(client, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        assert hanging.is_at_work.wait(10)
        while at_work < 3:
            time.sleep(0.01)
    # Not one after the other.
    assert _said(caplog, "3 request(s) in progress", OTHERWISE)
    hanging.may_go_on.set()
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_connection_that_hangs_is_left(
    hanging: Hanging, error: type[BaseException] | None
) -> None:
    @hanging.registry.bidirectional
    async def talk(messages: Any) -> Any:
        async for message in messages:
            yield message
            hanging.hang()  # the loop of the program, too

    def converse() -> None:
        with client.websocket() as websocket:
            websocket.send("1")
            assert websocket.receive() == "1"
            assert hanging.is_at_work.wait(10)
            if error is not None:
                raise error

    with TestClient(hanging.registry) as client, pytest.raises(error or TimeoutError) as caught:
        converse()
    if error is None:
        assert str(caught.value) == "the program has not ended the connection within 0.2 s"


def test_a_lifespan_says_that_the_program_has_not_ended(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    hanging.registry.predictor(lambda data: data)
    hanging.registry.on_shutdown(hanging.hang)
    application = asgi.app(hanging.registry)

    async def test() -> None:
        life = Life(application)
        await life.start()
        message = "the program has not ended within 0.2 s"
        assert await life.stop() == {"type": "lifespan.shutdown.failed", "message": message}

    run(test)
    assert _said(caplog, "@on_shutdown", OTHERWISE)


def test_without_a_lifespan_the_end_of_the_process_is_not_kept(
    hanging: Hanging, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", ends.append)
    hanging.registry.predictor(lambda data: data)
    hanging.registry.on_shutdown(hanging.hang)
    application = asgi.app(hanging.registry)

    async def test() -> None:
        assert (await ask(application, "POST", "/invocations", b"1")).text == "1"

    run(test)
    [end] = ends
    end()
    assert _said(caplog, "@on_shutdown", INTERRUPTED)


def test_a_program_that_loads_when_its_process_ends_is_left(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    hanging.registry.before_load(hanging.hang)
    hanging.registry.predictor(lambda data: data)
    model = asgi.app(hanging.registry).start()
    assert hanging.is_at_work.wait(10)
    model.close()
    _ending.wait_for_end(model, INTERRUPTED)
    assert _said(caplog, "loading", INTERRUPTED)
    hanging.may_go_on.set()
    model.ended.result(10)
