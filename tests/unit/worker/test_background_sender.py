"""Answers that are sent while the next batch is predicted."""

from __future__ import annotations

import os
import select
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.mms_bytes import predict_one
from support.worker_bench import Echo, answer, running

from sagemaker_inference._ipc import slots
from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._supervisor import connections
from sagemaker_inference._worker import background_sender
from sagemaker_inference._worker.background_sender import BackgroundSender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.worker_bench import Bench

    from sagemaker_inference._http.messages import Request, Response

LONG = 60_000


class Gated(Echo):
    """Answers a batch when it is told to; the answer to "long" is long."""

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(Concurrency(max_batch_size=size, **options))
        self.gate, self.key = os.pipe()
        self.length = LONG

    def open(self) -> None:
        os.write(self.key, b".")

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        # A test that has failed must not wait for it.
        assert select.select([self.gate], [], [], 10)[0]
        os.read(self.gate, 1)
        responses = await super().answer(requests)
        for request, response in zip(requests, responses, strict=True):
            if request.body == b"long":
                response.body = b"l" * self.length
        return responses


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an answer that its client does not read hold up who sends it."""
    monkeypatch.setattr(connections, "_SEND_BUFFER", 4096)


def ask(bench: Bench, index: int, body: bytes = b"a") -> None:
    bench.front[index].sendall(predict_one(str(index), body))


def hold_up(bench: Bench, service: Gated, first: bytes = b"long") -> None:
    """Have the answers to 1 and 2 sent while 3 and 4 are predicted."""
    ask(bench, 0)
    bench.wait_running(0)
    ask(bench, 1, first)
    ask(bench, 2)
    service.open()
    bench.expect(answer("0", b"A"), 0)
    bench.wait_running(1)
    bench.wait_running(2)
    ask(bench, 3)
    ask(bench, 4)
    service.open()
    bench.wait_running(3)
    bench.wait_running(4)


def test_the_next_batch_is_predicted_while_a_client_reads_slowly() -> None:
    service = Gated()
    with running(service, count=5) as bench:
        hold_up(bench, service)
        # They are predicted: no death over the next ones is their fault, and they have a copy.
        record = bench.table.read(2)
        assert (record.state, record.kept) == (slots.PENDING, len(predict_one("2", b"a")))
        bench.expect(answer("1", b"l" * LONG, 2), 1)
        bench.expect(answer("2", b"A", 2), 2)
        service.open()
        for index in (3, 4):
            bench.expect(answer(str(index), b"A", 2), index)
        bench.wait_idle()


def test_what_is_sent_beside_a_prediction_is_sent_before_the_end() -> None:
    service = Gated()
    with running(service, count=5) as bench:
        hold_up(bench, service)
        bench.connections.stop()
        service.open()
        bench.expect(answer("1", b"l" * LONG, 2), 1)
        for index in (2, 3, 4):
            bench.expect(answer(str(index), b"A", 2), index)


def test_the_last_batch_is_answered_before_the_end() -> None:
    service = Gated(size=3)
    with running(service, count=3) as bench:
        ask(bench, 0)
        bench.wait_running(0)
        ask(bench, 1)
        bench.front[2].sendall(predict_one("2", b"a") + predict_one("3", b"b"))
        bench.connections.stop()
        for _ in range(3):
            service.open()
        bench.expect(answer("0", b"A"), 0)
        for index in (1, 2):
            bench.expect(answer(str(index), b"A", 2), index)
        # The worker has read it: no other one could.
        bench.expect(answer("3", b"B"), 2)


def test_what_comes_behind_a_message_is_answered_too() -> None:
    service = Gated()
    with running(service, count=5) as bench:
        hold_up(bench, service, b"a" * 8)
        bench.expect(answer("1", b"A" * 8, 2), 1)
        bench.expect(answer("2", b"A", 2), 2)
        # Two messages at once on each connection of a batch, with others that wait.
        for index in (1, 2):
            bench.front[index].sendall(predict_one("5", b"b") + predict_one("6", b"c"))
        service.open()
        for index in (3, 4):
            bench.expect(answer(str(index), b"A", 2), index)
        bench.wait_running(1)
        ask(bench, 3)
        for _ in range(4):
            service.open()
        for index in (1, 2):
            bench.expect(answer("5", b"B", 2), index)
        bench.expect(answer("3", b"A"), 3)
        for index in (1, 2):
            bench.expect(answer("6", b"C", 2), index)
        bench.wait_idle()


@pytest.mark.parametrize(("repeats_lost", "length"), [(False, LONG), (True, 70_000)])
def test_answers_that_a_death_would_cost_are_sent_first(
    repeats_lost: bool,  # noqa: FBT001 - a parameter of a test
    length: int,
) -> None:
    """Who dies over a batch must not take the answers to another one along."""
    service = Gated(repeats_lost=repeats_lost)
    service.length = length
    with running(service, count=5) as bench:
        ask(bench, 0)
        bench.wait_running(0)
        ask(bench, 1, b"long")
        ask(bench, 2)
        service.open()
        bench.expect(answer("0", b"A"), 0)
        bench.wait_running(1)
        ask(bench, 3)
        service.open()
        service.open()
        bench.wait_state(slots.ANSWERING, 1)
        assert bench.table.state(3)[0] == slots.IDLE
        bench.expect(answer("1", b"l" * length, 2), 1)
        bench.expect(answer("2", b"A", 2), 2)
        bench.expect(answer("3", b"A"), 3)


class Finishes:
    """A loop that sends nothing."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.aside: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.fault: BaseException | None = None

    def set_aside(self, works: list[Any]) -> None:
        self.aside += [work.name for work in works]

    def finish(self, work: Any, _responses: Any, *, is_beside: bool) -> None:
        assert is_beside
        assert self.go_on.wait(10)
        if self.fault is not None:
            raise self.fault
        self.finished.append(work.name)

    def follow_up(self) -> list[str]:
        return ["behind"]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Finishes:
    """A loop, and threads that coverage measures."""

    def start(run: Callable[[], None], arguments: tuple[()]) -> None:
        threading.Thread(target=run, args=arguments, daemon=True).start()

    monkeypatch.setattr(background_sender, "start_new_thread", start)
    return Finishes()


def answers(count: int) -> Any:
    return [(SimpleNamespace(name=str(index)), []) for index in range(count)]


def test_answers_are_sent_in_their_order(loop: Finishes) -> None:
    sender = BackgroundSender(loop)  # type: ignore[arg-type]
    for _ in range(2):
        assert sender.begin(answers(3))
        assert sender.is_busy
        assert sender.join() == ["behind"]  # type: ignore[comparison-overlap]
        assert not sender.is_busy
    assert loop.finished == loop.aside == ["0", "1", "2"] * 2


def test_what_sending_fails_with_ends_the_worker(loop: Finishes) -> None:
    loop.fault = KeyError("a")
    sender = BackgroundSender(loop)  # type: ignore[arg-type]
    assert sender.begin(answers(3))
    with pytest.raises(KeyError):
        sender.join()


def test_a_prediction_that_lets_no_thread_run_is_not_sent_beside(loop: Finishes) -> None:
    sender = BackgroundSender(loop)  # type: ignore[arg-type]

    def pause() -> int:
        """How many batches are not sent beside after one that was."""
        for count in range(100):
            if sender.begin(answers(40)):
                return count
        raise AssertionError

    for expected in (0, 2, 4, 8, 16, 32, 64, 64):
        loop.go_on.clear()
        assert pause() == expected
        # In this time, 25 of them would have been sent.
        sender.note_prediction(0.005)
        loop.go_on.set()
        sender.join()
    # One that lets them run ends that.
    assert pause() == 64
    while sender._sent < 40:
        pass
    sender.note_prediction(0.005)
    sender.join()
    loop.go_on.clear()
    assert pause() == 0
    sender.note_prediction(0.005)
    loop.go_on.set()
    sender.join()
    assert pause() == 2
    # One that is over at once says nothing.
    sender.note_prediction(0.0001)
    sender.join()
    assert pause() == 0


def test_without_threads_answers_are_sent_first(
    loop: Finishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(background_sender, "start_new_thread", refuse)
    sender = BackgroundSender(loop)  # type: ignore[arg-type]
    assert not sender.begin(answers(3))
    assert not sender.is_busy
    assert loop.aside == []
