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
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import settings
from support.fake_front_end import FakeFrontEnd

from sagemaker_inference._frontends.base import Launch
from sagemaker_inference._http.messages import Headers
from sagemaker_inference._os.orphans import OrphanReaper
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import emf, front_end, main, supervisor
from sagemaker_inference._supervisor.emf import EmbeddedMetrics
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


def test_a_server_that_stops_while_packages_are_installed_serves_nothing(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = supervise(front())
    one._health = SimpleNamespace(is_installing=True)  # type: ignore[assignment]
    monkeypatch.setattr(one, "_serve", pytest.fail)
    one._exit_code = 0
    one._on_installed(0)
    assert one._exit_code == 0
    one._on_installed(1)
    assert one._exit_code == 1


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


@pytest.mark.parametrize("host", ["192.0.2.1", "::1"])
def test_an_address_that_is_not_this_machines_is_no_matter_of_ports(
    supervise: Callable[..., Supervisor], host: str
) -> None:
    with pytest.raises(StartError, match=rf"on {host} cannot be served: .*\. Pass .* host="):
        supervise(front(), host=host).run()


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
    assert lines.index("health") < lines.index("open")


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


def test_the_pauses_of_a_stop_leave_room_within_24_seconds() -> None:
    last = supervisor._LAST_ANSWERS_SECONDS + supervisor.LAST_LINES_SECONDS
    assert supervisor.STOP_SECONDS + last < 24


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
    assert ("model m could not be loaded or kept" in caplog.text) == multi_model


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


def once_it_serves(
    one: Supervisor, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]
) -> None:
    """Have something done by its loop, right after it has said what it serves."""
    announce = one._announce

    def announce_and_do() -> None:
        announce()
        then()

    monkeypatch.setattr(one, "_announce", announce_and_do)


def test_what_the_system_refuses_at_the_start_is_said_with_what_to_do(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = front()

    def fail(_folder: str, _path: str) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(kind, "prepare", fail)
    with pytest.raises(StartError, match=r"cannot start: \[Errno 24\].* raise that limit \(ulimit"):
        supervise(kind).run()


def test_what_the_system_refuses_while_it_serves_is_not_a_failed_start(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = supervise(front())

    def fail() -> None:
        raise OSError(24, "Too many open files")

    once_it_serves(one, monkeypatch, fail)
    with pytest.raises(OSError, match="Too many open files"):
        one.run()


def test_the_port_opens_with_the_model_where_pings_have_to_wait(
    supervise: Callable[..., Supervisor], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(supervise(front(), ping_while_loading=False), signal.SIGTERM) == 0
    kinds = capfd.readouterr().err.split()
    assert kinds.index("deploy") < kinds.index("open")


def test_metrics_and_the_parameters_of_jobs_are_answered_from_here(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, replies = supervise(front()), {}

    def ask() -> None:
        monkeypatch.setattr(
            one._front_end, "reply", lambda number, *reply: replies.update({number: reply})
        )
        for number, path in enumerate(("/metrics?x", "/execution%2Dparameters")):
            one.on_request(front_end.Request(number, "GET", path, Headers(), b""))

    once_it_serves(one, monkeypatch, ask)
    assert run(one, signal.SIGTERM, after=lambda: len(replies) == 2) == 0
    assert replies[0][0] == replies[1][0] == 200
    assert b'sagemaker_endpoint_health{state="healthy"} 1' in replies[0][1]
    assert json.loads(replies[1][1])["MaxPayloadInMB"]


def test_while_the_model_loads_a_job_is_not_told_any_parameters(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        front_end.FrontEndProcess, "reply", lambda _self, *reply: replies.append(reply)
    )
    asked = {"method": "GET", "target": "/execution-parameters", "headers": [], "body": ""}
    one = supervise(front(ask=["request", asked]), "import time; time.sleep(60)")
    assert run(one, signal.SIGTERM, after=lambda: bool(replies)) == 0
    assert replies[0][1] == 503


def test_metrics_can_be_log_lines(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    written = threading.Event()
    write = EmbeddedMetrics.write

    def write_and_tell(lines: EmbeddedMetrics, *, has_gauges: bool = True) -> None:
        write(lines, has_gauges=has_gauges)
        written.set()

    monkeypatch.setattr(emf, "SECONDS", 0.05)
    monkeypatch.setattr(EmbeddedMetrics, "write", write_and_tell)
    one = supervise(front(), metrics="emf")
    assert run(one, signal.SIGTERM, after=lambda: one._is_serving and written.is_set()) == 0
    assert '"_aws"' in capfd.readouterr().err
    assert "/metrics" not in one._front_end._asked


def test_what_has_come_since_the_last_lines_of_metrics_is_written_at_the_end(
    supervise: Callable[..., Supervisor], capfd: pytest.CaptureFixture[str]
) -> None:
    one = supervise(front(), metrics="emf")
    assert run(one, signal.SIGTERM, after=lambda: one._is_serving) == 0
    [_, *lines] = capfd.readouterr().err.split('{"_aws"')
    assert any('"sagemaker_inference_build_info": 1' in line for line in lines)
    # When its workers have ended, it is neither degraded nor anything else.
    assert sum('"state": "degraded"' in line for line in lines) == 1
    assert sum("sagemaker_inference_predict_seconds_count" in line for line in lines) == 2


def test_lines_of_metrics_are_written_where_the_server_stops_before_it_serves(
    supervise: Callable[..., Supervisor], capfd: pytest.CaptureFixture[str]
) -> None:
    one = supervise(front(), "import time; time.sleep(60)", metrics="emf")
    assert run(one, signal.SIGTERM, after=lambda: one._is_port_open) == 0
    lines = capfd.readouterr().err
    assert '"state": "initializing", "sagemaker_endpoint_health": 1' in lines


def test_what_a_front_end_does_in_the_background_is_started_and_reaped(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "_BACKGROUND_SECONDS", 0)
    mark, kind = tmp_path / "mark", front()
    launch = Launch(["/usr/bin/touch", str(mark)], {})
    monkeypatch.setattr(kind, "background", lambda _folder: launch)
    one = supervise(kind)

    def has_been() -> bool:
        return mark.exists() and one._background is not None and not one._background.is_running

    assert run(one, signal.SIGTERM, after=has_been) == 0
    assert mark.exists()


def test_a_server_that_stops_begins_nothing_in_the_background(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "_BACKGROUND_SECONDS", 0)
    mark, kind = tmp_path / "mark", front()
    one = supervise(kind)

    def background(_folder: str) -> Launch:
        one._on_stop(signal.SIGTERM)
        return Launch(["/usr/bin/touch", str(mark)], {})

    monkeypatch.setattr(kind, "background", background)
    assert run(one) == 0
    assert one._background is None
    assert not mark.exists()
