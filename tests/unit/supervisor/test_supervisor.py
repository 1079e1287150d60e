"""The supervisor with real workers and a front end that is a few lines of Python."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import settings
from support.fake_front_end import FakeFrontEnd

from sagemaker_inference._os.orphans import OrphanReaper
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import front_end, main, supervisor
from sagemaker_inference._supervisor.outcome import Outcome
from sagemaker_inference._supervisor.settings import ALL_ADDRESSES, Settings
from sagemaker_inference._supervisor.supervisor import Supervisor
from sagemaker_inference.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

# Speaks the protocol: what it answers to a kind of message is in its arguments.
FRONT_END = """
import json, os, socket, sys, time
answers = json.loads(sys.argv[1])
control = socket.socket(socket.AF_UNIX)
control.connect(os.environ["CONTROL_SOCKET"])
def say(kind, **fields):
    control.sendall(json.dumps({"type": kind, **fields}).encode() + b"\\n")
kept = []
say("hello", pid=os.getpid())
for line in control.makefile():
    message = json.loads(line)
    kind = message["type"]
    print(kind, file=sys.stderr, flush=True)
    if kind == "deploy":
        for _ in range(message["connections"]):
            kept.append(socket.socket(socket.AF_UNIX))
            kept[-1].connect(message["socket"])
    if kind == "retire":
        kept.clear()
    if kind in answers:
        say(*answers[kind][:1], **{"id": message.get("id", 0), **answers[kind][1]})
"""
SERVES = {
    "open": ["opened", {}],
    "deploy": ["deployed", {}],
    "retire": ["retired", {}],
    "drain": ["drained", {}],
}
PROGRAM = """
def model_fn(model_dir):
    {}

def predict_fn(data, model):
    return data
"""


def front(**answers: Any) -> FakeFrontEnd:
    given = {name: answer for name, answer in {**SERVES, **answers}.items() if answer}
    return FakeFrontEnd((sys.executable, "-c", FRONT_END, json.dumps(given)))


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Supervisor]:
    def make(kind: FakeFrontEnd, line: str = "return None", **changes: Any) -> Supervisor:
        path = tmp_path / "inference.py"
        path.write_text(PROGRAM.format(line))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 20000 + probe.getsockname()[1] % 10000
        told = {
            "program": Program.from_file(str(path)),
            "model_dir": str(tmp_path),
            "port": port,
            **changes,
        }
        return Supervisor(settings(**told), kind)

    return make


def run(one: Supervisor, *signals: int, after: Callable[[], bool] | None = None) -> int:
    """Run it; once it serves, send signals; its exit code."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        for number in signals:
            while not (after() if after else one._is_serving):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.01)
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        return one.run()
    finally:
        thread.join()


def test_what_others_left_behind_is_reaped(supervise: Callable[..., Supervisor]) -> None:
    one = supervise(front())
    one._orphans = OrphanReaper(0)
    orphan = os.posix_spawnp("true", ["true"], os.environ)

    def is_reaped() -> bool:
        return one._is_serving and not Path("/proc", str(orphan)).exists()

    assert run(one, signal.SIGTERM, after=is_reaped) == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(orphan, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture, number: int
) -> None:
    caplog.set_level("INFO")
    assert run(supervise(front()), number) == 0
    assert "serving " in caplog.text
    assert "answering what is in flight, then stopping" in caplog.text


def test_a_load_that_fails_ends_it(supervise: Callable[..., Supervisor]) -> None:
    assert run(supervise(front(), "raise ValueError")) == 1


def test_a_port_that_cannot_be_opened_ends_it(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    answer = ["open_failed", {"error": "Address already in use"}]
    assert run(supervise(front(open=answer))) == 1
    assert "the front end could not open its port: Address already in use" in caplog.text


def test_a_front_end_that_never_opens_its_port_ends_it(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(front_end, "PATIENCE_SECONDS", 2.0)
    assert run(supervise(front(open=None))) == 1
    assert "did not open its port within 2 s" in caplog.text
    # Its last lines; heartbeats may stand between them.
    lines = caplog.text.split("last lines:")[1].split()
    assert lines.index("health") < lines.index("open") < lines.index("deploy")


def test_a_front_end_that_ends_ends_it(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    command = ("/bin/sh", "-c", "exit 7")
    assert run(supervise(FakeFrontEnd(command), "import time; time.sleep(60)")) == 7
    assert "the front end ended with exit code 7" in caplog.text


def test_a_stop_before_it_serves_ends_it_at_once(supervise: Callable[..., Supervisor]) -> None:
    one = supervise(front(), "import time; time.sleep(60)")
    began = time.monotonic()
    assert run(one, signal.SIGTERM, after=lambda: hasattr(one, "_repository")) == 0
    assert time.monotonic() - began < 10


def test_a_second_signal_ends_it_at_once(supervise: Callable[..., Supervisor]) -> None:
    one = supervise(front(drain=None))
    assert run(one, signal.SIGTERM, signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_drain_that_does_not_end_is_cut_short(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.2)
    assert run(supervise(front(drain=None)), signal.SIGTERM) == 0


def test_workers_that_do_not_stop_are_killed(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.5)
    one = supervise(front())

    def stop_its_worker() -> bool:
        if not one._is_serving:
            return False
        [model] = one._repository.models
        assert model.deployment is not None
        [worker] = model.deployment.workers.handles
        os.kill(worker.child.pid, signal.SIGSTOP)
        return True

    assert run(one, signal.SIGTERM, after=stop_its_worker) == 0
    assert "1 worker(s) did not stop within 0.5 s and are killed" in caplog.text


def test_many_models_are_served_at_once(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = supervise(
        front(), multi_model=True, program=None, model_dir="/no/such", host=ALL_ADDRESSES
    )
    assert run(one, signal.SIGTERM) == 0
    assert "serving models on http://127.0.0.1:" in caplog.text


@pytest.mark.parametrize("multi_model", [True, False])
def test_a_model_that_is_lost_ends_it_where_there_is_no_other(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture, *, multi_model: bool
) -> None:
    one = supervise(front(), multi_model=multi_model)
    one.on_lost("m", Outcome("why"))
    assert one._exit_code == (None if multi_model else 1)
    assert ("model m could not be loaded, or not be kept" in caplog.text) == multi_model


def test_a_front_end_that_cannot_be_set_up_leaves_nothing(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = front()

    def fail(_folder: str, _path: str) -> None:
        message = "no"
        raise StartError(message)

    monkeypatch.setattr(kind, "prepare", fail)
    with pytest.raises(StartError, match="no"):
        supervise(kind).run()


def test_the_front_end_waits_for_all_that_may_come_before(tmp_path: Path) -> None:
    for timeout, startup, expected in ((60.0, 60.0, 570), (1.0, 600.0, 630)):
        kind = main.front_end(settings(timeout=timeout, startup_timeout=startup))
        assert getattr(kind, "answer_timeout") == expected  # noqa: B009 - not of every front end


def test_settings_that_cannot_be_served_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: Settings = settings(model_dir="/no/such/folder")
    assert main.main(["", told.dump()]) == 1
    assert "/no/such/folder does not exist" in capfd.readouterr().err
