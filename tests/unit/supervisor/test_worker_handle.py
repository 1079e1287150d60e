"""A worker as the supervisor sees it, and what is left where it cannot be started."""

from __future__ import annotations

import os
import signal
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from support.builders import LoopBench, settings

from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._os.child_process import ChildProcess
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._supervisor.worker_handle import STUCK, ForkPipes, WorkerHandle, spawn
from sagemaker_inference._supervisor.worker_records import ModelRecord

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections(SlotTable(), SlotPool())
    yield made
    made.dispose()


@pytest.mark.parametrize("metrics", ["", "prometheus"])
def test_a_worker_that_cannot_be_started_leaves_nothing_open(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, metrics: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(ChildProcess, "spawn", fail)
    bench = LoopBench()
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are enough
    with pytest.raises(OSError, match="too long"):
        spawn(settings(metrics=metrics), connections, bench.outputs, ModelRecord(), 0)
    pipes = ForkPipes(has_metrics=bool(metrics))
    pipes.close_theirs()
    pipes.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - as above
    bench.outputs.close()
    bench.loop.close()


def test_the_state_of_a_worker_is_one_word(connections: Connections) -> None:
    control, theirs = socket.socketpair()
    child = SimpleNamespace(signal=lambda _number: None)
    worker = WorkerHandle(0, child, control, Pulse(connections.table, 0))  # type: ignore[arg-type]
    states = [worker.state]
    for stage in ("assembled", "loaded", "unhealthy"):
        worker.take_note(Report(stage))
        states.append(worker.state)
    worker.take_note(Report("loaded"))
    for is_stopped in (True, False):
        worker.pulse.look(is_stopped=is_stopped)
        states.append(worker.state)
    worker.end_for(STUCK)
    states.append(worker.state)
    assert states == ["starting", "loading", "ready", "ending", "stuck", "ready", "stuck"]
    control.close()
    theirs.close()


def test_an_obituary_says_whether_the_model_was_loaded(
    connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    control, theirs = socket.socketpair()
    child = SimpleNamespace(pid=7, tail=())
    worker = WorkerHandle(0, child, control, Pulse(connections.table, 0))  # type: ignore[arg-type]
    worker.take_note(Report("assembled"))
    worker.log_death(0)
    worker.take_note(Report("loaded"))
    worker.log_death(0)
    assert caplog.messages == [
        "worker 7 ended with exit code 0 before it had loaded the model. Its last lines: none",
        "worker 7 ended with exit code 0. Its last lines: none",
    ]
    control.close()
    theirs.close()


def test_a_worker_whose_socket_is_closed_is_killed(connections: Connections) -> None:
    """It is about to be noticed that it is gone; until then, nothing is passed to it."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, front = socket.socketpair()
    slot = connections.add(ours)
    assert slot is not None
    signals: list[int] = []
    child = SimpleNamespace(signal=signals.append)
    worker = WorkerHandle(0, child, control, Pulse(connections.table, 0))  # type: ignore[arg-type]
    bench = LoopBench()
    theirs.close()
    worker.pass_on(slot, connections, bench.loop)
    assert signals == [signal.SIGKILL]
    for sock in (control, front):
        sock.close()
    bench.outputs.close()
    bench.loop.close()
