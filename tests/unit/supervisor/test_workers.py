"""Workers without a front end: the test holds the other ends of the connections."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from support.deployed import SOURCE, benches
from support.mms_bytes import predict_one

from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import ChildProcess
from sagemaker_inference._supervisor.outcome import STOPPING, Outcome
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.worker_handle import WorkerHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.deployed import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


def test_requests_are_answered_until_the_stop(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    assert one.heard == ["loaded"]
    assert b"ABC" in one.ask(b"abc")
    assert one.workers.count == 1
    one.workers.stop(STOPPING)
    one.wait(lambda: "stopped" in one.heard)


def test_a_process_that_the_kernel_ended_for_want_of_memory_is_507(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kills = iter(range(100))
    monkeypatch.setattr(resources, "out_of_memory_kills", lambda: next(kills))
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    answer = one.ask(b"kill")
    assert b"out_of_memory" in answer
    assert (507).to_bytes(4, "big") in answer
    assert "the kernel ended it because memory ran out" in caplog.text
    assert "id-1 (507)" in caplog.text
    assert b"ABC" in one.ask(b"abc")


def test_a_request_over_its_time_is_504(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(timeout=0.3)
    one.wait(lambda: "loaded" in one.heard)
    assert (504).to_bytes(4, "big") in one.ask(b"sleep30")
    assert "has run for more than 0.3 s" in caplog.text
    assert "it took longer than its time limit" in caplog.text
    # Which may take longer than a request may wait.
    one.wait(lambda: one.heard.count("loaded") == 2)
    assert b"ABC" in one.ask(b"abc")


def test_requests_that_kill_their_worker_end_nothing_else(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench()
    for _ in range(7):
        assert b"process_died" in one.ask(b"kill")
    assert b"ABC" in one.ask(b"abc")
    assert "failed" not in one.heard
    assert "is started in" not in caplog.text


FAILS_LATER = SOURCE.replace(
    "return None",
    """path = model_dir + "/loaded"
        if os.path.exists(path): raise RuntimeError("no weights")
        open(path, "w")""",
)


def test_a_worker_that_cannot_load_again_is_tried_less_and_less_often(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(FAILS_LATER)
    one.wait(lambda: "loaded" in one.heard)
    os.kill(one.workers._workers[0].child.pid, signal.SIGKILL)
    one.wait(lambda: "is started in 0.2 s" in caplog.text)
    assert caplog.text.count("is started in 0.1 s") == 1
    assert "failed" not in one.heard


def test_a_deployment_without_an_able_worker_for_long_has_failed(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(FAILS_LATER, startup_timeout=3.0)
    one.wait(lambda: "loaded" in one.heard)
    os.kill(one.workers._workers[0].child.pid, signal.SIGKILL)
    one.wait(lambda: "failed" in one.heard)
    [outcome] = one.outcomes
    assert outcome.cause.startswith(
        "no worker has been able to answer for 3 s (SAGEMAKER_STARTUP_TIMEOUT); the last "
    )
    assert f"{outcome.cause}. Stopping." in caplog.text


def test_a_load_over_its_time_is_a_failure(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    slow = SOURCE.replace("return None", "time.sleep(60)")
    one = bench(slow, startup_timeout=0.5)
    one.wait(lambda: "failed" in one.heard)
    assert "did not load within 0.5 s" in caplog.text


def test_connections_wait_until_a_process_reads_them(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    [model] = one.workers._workers
    slot, closed = next(iter(one.connections)), 99
    os.kill(model.child.pid, signal.SIGSTOP)
    for _ in range(1000):
        one.workers.pass_on(slot)
        one.workers.pass_on(closed)
    assert model._unsent
    os.kill(model.child.pid, signal.SIGCONT)
    one.wait(lambda: not model._unsent)
    assert one.workers._workers == [model]


def test_a_process_that_has_ended_gets_no_more_connections(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    [model] = one.workers._workers
    os.kill(model.child.pid, signal.SIGSTOP)
    for _ in range(1000):
        one.workers.pass_on(next(iter(one.connections)))
    assert model._unsent
    model.kill()
    one.wait(lambda: one.workers._workers != [model])
    one.wait(lambda: one.workers.all_loaded)


def test_a_process_that_is_being_ended_is_not_ended_twice(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(timeout=0.1)
    one.workers.pass_on(0)
    one.wait(lambda: "loaded" in one.heard)
    one.workers._workers[0].killed_for = "a test"
    one.front.send(predict_one("id-1", b"sleep0.5"))
    one.wait(lambda: one.connections.table.answered(0) == 1)
    assert "has run for more than" not in caplog.text


def test_a_request_whose_client_is_gone_is_not_answered(bench: Callable[..., Bench]) -> None:
    one = bench(timeout=0.3)
    one.wait(lambda: "loaded" in one.heard)
    one.front.send(predict_one("id-1", b"sleep30"))
    one.wait(one.is_busy)
    one.front.close()
    one.wait(lambda: one.heard.count("loaded") == 2)
    assert list(one.connections) == []


def test_a_process_that_dies_over_half_a_message_closes_its_connection(
    bench: Callable[..., Bench],
) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    one.front.send(predict_one("id-1", b"abc")[:20])
    one.wait(one.is_busy)
    os.kill(one.workers._workers[0].child.pid, signal.SIGKILL)
    one.wait(lambda: one.heard.count("loaded") == 2)
    # A reset, where the process died before it had read the half.
    with contextlib.suppress(ConnectionResetError):
        assert one.front.recv(1) == b""


def test_the_other_processes_of_a_stop_are_waited_for(bench: Callable[..., Bench]) -> None:
    one = bench(workers=2)
    one.wait(lambda: "loaded" in one.heard)
    one.front.send(predict_one("id-1", b"sleep0.5"))
    one.wait(one.is_busy)
    one.workers.stop(STOPPING)
    one.wait(lambda: one.workers.count == 1)
    assert "stopped" not in one.heard
    one.wait(lambda: "stopped" in one.heard)


def test_the_last_words_of_a_process_are_heard(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    assert one.workers._workers[0].next_report(one.loop) is None
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    last = Report("failed", cause="no memory", out_of_memory=True)
    theirs.send(last.dump())
    theirs.close()
    child = ChildProcess.spawn([sys.executable, "-c", ""], env={})
    child.wait()
    worker = WorkerHandle(1, child, control, Pulse(one.connections.table, 1))
    one.workers._let_go(worker)
    assert worker.failure is not None
    assert (worker.failure.cause, worker.failure.out_of_memory) == ("no memory", True)


CLEANS_UP = """
    import asyncio, time
    from pathlib import Path
    from sagemaker_inference import model_loader, on_shutdown, predictor

    @model_loader
    def load(model_dir):
        return Path(model_dir)

    @predictor
    {prefix}def predict(data, model):
        (model / "runs").touch()
        {call}(0.3)

    @on_shutdown
    def clean_up(model):
        (model / "cleaned").touch()
"""


@pytest.mark.parametrize(
    ("prefix", "call"), [("", "time.sleep"), ("async ", "await asyncio.sleep")]
)
def test_a_worker_that_is_too_many_answers_cleans_up_and_ends(
    bench: Callable[..., Bench], tmp_path: Path, prefix: str, call: str
) -> None:
    one = bench(CLEANS_UP.format(prefix=prefix, call=call))
    one.wait(lambda: "loaded" in one.heard)
    one.front.send(predict_one("id-1", b"1"))
    one.wait((tmp_path / "runs").exists)
    outcomes: list[Outcome] = []
    one.workers.scale(0, 20.0, outcomes.append)
    one.wait(lambda: one.connections.table.answered(0) == 1)
    one.wait(lambda: bool(outcomes))
    assert outcomes == [Outcome()]
    assert one.workers.count == 0
    assert (tmp_path / "cleaned").exists()


def test_a_worker_that_is_too_many_and_does_not_end_is_killed(
    bench: Callable[..., Bench],
) -> None:
    one = bench()
    one.wait(lambda: "loaded" in one.heard)
    os.kill(one.workers._workers[0].child.pid, signal.SIGSTOP)
    outcomes: list[Outcome] = []
    one.workers.scale(0, 0.2, outcomes.append)
    one.wait(lambda: bool(outcomes))
    assert one.workers.count == 0


def stopped(one: Bench) -> None:
    """Stop its workers and wait for their end."""
    one.workers.stop(STOPPING)
    one.wait(lambda: "stopped" in one.heard)


@pytest.mark.parametrize("preload", [False, True])
def test_workers_without_metrics_print_json_where_that_is_asked(
    bench: Callable[..., Bench], capfd: pytest.CaptureFixture[str], *, preload: bool
) -> None:
    lines = "print('got', body)\n        if body =="
    source = SOURCE.replace("if body ==", lines, 1)
    one = bench(source, preload=preload, metrics="", log_format="json")
    one.wait(lambda: "loaded" in one.heard)
    assert b"ABC" in one.ask(b"abc")
    assert [worker.area for worker in one.workers.processes] == [None] * (1 + preload)
    stopped(one)
    (printed,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert (printed["message"], printed["request_id"]) == ("got abc", "id-1")


def test_a_program_that_exits_outside_its_handlers_ends_its_worker(
    bench: Callable[..., Bench],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = """
        import asyncio, sys
        from sagemaker_inference import model_loader, predictor

        @model_loader
        def load(model_dir):
            return None

        @predictor
        async def predict(data):
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await asyncio.sleep(60)
    """
    one = bench(source)
    one.wait(lambda: "loaded" in one.heard)
    assert b"The request was cancelled by the program" in one.ask(b"1")
    one.wait(lambda: "ended with exit code 3" in caplog.text)
    said = capfd.readouterr().err
    assert "the program ended this worker by sys.exit outside its handlers" in said


def test_what_all_workers_fail_with_is_said_once(
    bench: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    one = bench("import no_such_module_of_this_test", workers=3)
    hear = one.on_failed

    def hear_and_end(outcome: Outcome) -> None:
        """Do as a deployment does: more of them may fail in the same moment."""
        hear(outcome)
        one.workers.kill()
        one.workers.stop(STOPPING)

    one.on_failed = hear_and_end  # type: ignore[method-assign]
    one.wait(lambda: "stopped" in one.heard)
    said = capfd.readouterr().err
    assert said.count("sagemaker-inference: error: ") == 1
    assert said.endswith("ModuleNotFoundError: No module named 'no_such_module_of_this_test'\n")
    assert "no_such_module_of_this_test'. Install the missing package" in one.outcomes[0].cause


def test_a_traceback_of_any_length_is_said(
    bench: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    one = bench("raise ValueError('\u00e9' * 99999)")
    one.wait(lambda: "failed" in one.heard)
    said = capfd.readouterr().err
    assert said.startswith("sagemaker-inference: error: ")
    assert "\n[...]\n" in said
    assert said.endswith("\u00e9\n")


def test_a_successor_that_cannot_load_says_why_each_time(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    one = bench(FAILS_LATER)
    one.wait(lambda: "loaded" in one.heard)
    os.kill(one.workers._workers[0].child.pid, signal.SIGKILL)
    one.wait(lambda: "is started in 0.1 s" in caplog.text)
    assert "RuntimeError: no weights" in caplog.text
    assert "RuntimeError: no weights" in capfd.readouterr().err
