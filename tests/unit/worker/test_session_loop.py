"""Workers that hand requests over to the one that has their session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import session_bench
from support.builders import loaded
from support.mms_bytes import predict_at, predict_one
from support.session_bench import JSON, Workers, one_of_each, running, take

from sagemaker_inference import Registry
from sagemaker_inference._http.error_response import ErrorForm
from sagemaker_inference._inference.sessions import HEADER, key_of
from sagemaker_inference._ipc import slots
from sagemaker_inference._worker import session_loop
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.loop import Loop
from sagemaker_inference._worker.main import loop_for
from sagemaker_inference._worker.session_loop import SessionLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.stream_bench import Gate

CHAT = "/v1/chat/completions"


def count(data: Any, model: Any, context: Any) -> Any:
    session = context.session
    if isinstance(data, dict):
        time.sleep(data["sleep"])
    if session is None:
        return [os.getpid(), 0]
    session.state["n"] = session.state.get("n", 0) + 1
    return [os.getpid(), session.state["n"]]


async def async_count(data: Any, model: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return count(data, model, context)


def program(predict: Any, **options: Any) -> Any:
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.session_start(lambda: None)
    registry.predictor(**options)(predict)
    registry.predictor(CHAT, **options)(predict)
    return loaded(registry)


KINDS = [
    pytest.param(count, {}, id="sync"),
    pytest.param(async_count, {}, id="async"),
    pytest.param(count, {"threads": 3}, id="threads"),
]


@pytest.mark.parametrize(("predict", "options"), KINDS)
def test_requests_of_a_session_reach_the_worker_that_has_it(
    predict: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    with running(program(predict, **options), tmp_path) as bench:
        sessions = one_of_each(bench)
        for turn in range(2, 12):
            for pid, session in sessions.items():
                assert bench.ask(1, session, front=turn % 4) == (pid, turn)
        bench.wait_idle()


def test_a_session_goes_on_on_a_further_path(tmp_path: Path) -> None:
    with running(program(count), tmp_path) as bench:
        for pid, session in one_of_each(bench).items():
            for turn in range(2, 8):
                at_path = predict_at(CHAT, "id-0", b"1", [JSON, (HEADER, session)])
                bench.front[0].sendall(at_path)
                assert b"[%d,%d]" % (pid, turn) in bench.receive()
        bench.wait_idle()


def test_a_request_waits_while_the_worker_that_has_its_session_is_busy(tmp_path: Path) -> None:
    with running(program(count), tmp_path) as bench:
        sessions = one_of_each(bench)
        (pid, session), (other, _) = sessions.items()
        bench.send({"sleep": 0.4}, session, front=0)
        time.sleep(0.1)
        bench.send("x" * 100_000, session, front=1)
        began = time.monotonic()
        assert bench.ask(1, front=2)[0] == other
        assert time.monotonic() - began < 0.3
        first = bench.receive(0)
        assert str(pid).encode() in first
        assert f"[{pid},3]".encode() in bench.receive(1)


def test_what_follows_a_request_is_handed_over_with_it(tmp_path: Path) -> None:
    with running(program(count), tmp_path) as bench:
        (pid, session), *_ = one_of_each(bench).items()
        message = predict_one("id-0", b"1", [JSON, (HEADER, session)])
        for turn in range(5):
            bench.front[0].sendall(message * 2)
            got = b""
            while got.count(f"[{pid},".encode()) < 2:
                got += bench.receive(0)
            assert f"[{pid},{2 * turn + 3}]".encode() in got


def test_a_session_of_a_worker_that_is_gone_is_lost(tmp_path: Path) -> None:
    with running(program(count), tmp_path) as bench:
        session, pid = bench.begin()
        bench.wait_idle()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        bench.pids.remove(pid)
        bench.connections.rearm_idle()
        bench.send(1, session)
        assert b'"session_lost"' in bench.receive()
        key = key_of(session)
        (tmp_path / f"1-{key}").unlink()
        bench.send(1, session)
        assert b'"session_lost"' in bench.receive()
        bench.wait_idle()


def test_an_idle_worker_ends_sessions_that_have_expired(tmp_path: Path, gate: Gate) -> None:
    for predict in (count, async_count):
        registry = Registry()
        registry.model_loader(lambda: None)
        registry.session_start(lambda: None)
        registry.session_end(lambda state: gate.tell(b"ended"))
        registry.predictor(predict)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAGEMAKER_SESSIONS_EXPIRATION", "1")
            service = loaded(registry)
        with running(service, tmp_path, 1) as bench:
            bench.begin()
            assert gate.hear() == b"ended"


def test_a_program_without_sessions_has_a_plain_loop(tmp_path: Path) -> None:
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(count)
    service = loaded(registry)
    with running(service, tmp_path, 1) as bench:
        theirs = bench.control()
        made = loop_for(service, bench.assignment(1, theirs), theirs, AccessLog(2, 100))
        assert type(made) is Loop
        theirs.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Workers, SessionLoop]]:
    with session_bench.alone(program(count), tmp_path) as (bench, made):
        assert isinstance(made, SessionLoop)
        yield bench, made


def other_worker(bench: Workers, key: str) -> socket.socket:
    """The socket of a worker that takes nothing."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(bench.prefix + key)
    return listener


def test_a_worker_that_takes_nothing_any_more_is_busy(
    alone: tuple[Workers, SessionLoop],
) -> None:
    bench, loop = alone
    with other_worker(bench, "00000000") as listener:
        listener.listen(0)
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(BlockingIOError):
                while True:
                    waits = stack.enter_context(
                        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    )
                    waits.setblocking(False)  # noqa: FBT003 - socket's own signature
                    waits.connect(bench.prefix + "00000000")
            bench.send(1, "a-00000000")
            [work] = take(loop)
            loop.finish(work, loop.answer_now(work.requests))
            assert b"is busy" in bench.receive()
    Path(bench.prefix + "00000000").unlink()


def test_one_that_ends_meanwhile_loses_its_session(
    alone: tuple[Workers, SessionLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, loop = alone
    listener = other_worker(bench, "00000000")
    listener.listen(8)
    send_fds = session_loop.send_fds

    def end_first(*arguments: Any) -> None:
        listener.close()
        send_fds(*arguments)

    monkeypatch.setattr(session_loop, "send_fds", end_first)
    bench.send(1, "a-00000000")
    [work] = take(loop)
    assert bench.table.read(0).state == slots.RUNNING
    assert bench.table.read(0).pid == os.getpid()
    loop.finish(work, loop.answer_now(work.requests))
    assert b'"session_lost"' in bench.receive()
    Path(bench.prefix + "00000000").unlink()


def test_what_the_supervisor_has_answered_meanwhile_is_not_answered_again(
    alone: tuple[Workers, SessionLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, loop = alone
    with other_worker(bench, "00000000") as listener:
        listener.listen(8)

        def answered(*_arguments: Any) -> None:
            bench.table.mark(0, slots.IDLE)
            raise OSError

        monkeypatch.setattr(session_loop, "send_fds", answered)
        bench.send(1, "a-00000000")
        assert take(loop) == []
    Path(bench.prefix + "00000000").unlink()


def test_what_is_not_handed_over_any_more_is_ignored(
    alone: tuple[Workers, SessionLoop],
) -> None:
    bench, loop = alone
    path = bench.prefix + loop._sessions.key
    note = session_loop._NOTE.pack(0, bench.table.state(0)[1], 0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(path)
    assert take(loop) == []  # it has sent nothing
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(path)
        fd = slots.anonymous_file("test")
        socket.send_fds(stranger, [note], [fd])
        os.close(fd)
        assert take(loop) == []
    assert loop._accept() is None  # nobody is there


def test_a_message_in_parts_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(fd: int, data: memoryview) -> int:
        written.append(bytes(data[:3]))
        return min(3, len(data))

    monkeypatch.setattr(os, "write", write)
    session_loop._write(0, b"1234567")
    assert b"".join(written) == b"1234567"


def test_a_worker_whose_supervisor_has_ended_receives_nothing_more(
    alone: tuple[Workers, SessionLoop],
) -> None:
    bench, loop = alone
    bench.controls[-1].close()
    loop.beat()
    assert sorted(item.slot for item in loop.connections) == bench.slots


def test_who_answers_for_a_dead_worker_knows_the_form_of_errors(
    alone: tuple[Workers, SessionLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, loop = alone
    seen: list[slots.Slot] = []

    def look(*_arguments: Any) -> None:
        seen.append(bench.table.read(0))
        raise ConnectionResetError

    monkeypatch.setattr(session_loop, "send_fds", look)
    with other_worker(bench, "00000000") as listener:
        listener.listen(8)
        bench.front[0].sendall(predict_at(CHAT, "id-0", b"1", [JSON, (HEADER, "a-00000000")]))
        [work] = take(loop)
    Path(bench.prefix + "00000000").unlink()
    assert (seen[0].state, seen[0].error_form) == (slots.HANDED_OVER, ErrorForm.OPENAI)
    assert bench.table.read(0).error_form == ErrorForm.OPENAI
    loop.finish(work, loop.answer_now(work.requests))
    assert b'"session_lost"' in bench.receive()
