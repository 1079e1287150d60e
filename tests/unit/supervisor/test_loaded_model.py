"""One of many models, from its load to its end; the test is the front end, and its processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from many_models import Bench, load, status_of

from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._ipc.slots import MAX_SLOTS
from sagemaker_inference._supervisor import loaded_model
from sagemaker_inference._supervisor.loaded_model import LoadedModel


def test_a_second_process_of_a_model_is_sent_away(bench: Bench) -> None:
    path = bench.model()
    first = bench.link(path)
    bench.wait(lambda: "m" in bench.many._models)
    assert bench.wait_answer(bench.link(path)) == b""
    first.close()
    bench.wait(lambda: bench.many._models == {})


def test_a_process_that_is_gone_when_its_assignment_comes(bench: Bench) -> None:
    bench.link(bench.model()).close()
    bench.wait(lambda: "m" in bench.many._models)
    bench.wait(lambda: bench.many._models == {})


def test_a_model_that_the_front_end_starts_no_process_for_is_started_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.1)
    front = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(front)) == 200
    assert bench.many.count == 1
    # One that comes now is too late, and one connection more is welcome.
    assert bench.wait_answer(bench.link(bench.model())) == b""
    assert status_of(bench.wait_answer(bench.connect(load("m", bench.model())))) == 200
    bench.many.stop()
    bench.wait(lambda: bench.heard == ["stopped"])


def test_a_model_can_be_killed_and_replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    front = bench.connect(load("m", bench.model()))
    bench.wait_answer(front)
    [first] = bench.many._models["m"].served.processes._models  # type: ignore[union-attr]
    bench.many.kill()

    def is_replaced() -> bool:
        served = bench.many._models["m"].served
        return served is not None and served.all_loaded and served.processes._models != [first]

    bench.wait(is_replaced)
    # It is loaded anew, but the front end has asked only once.
    with pytest.raises(BlockingIOError):
        front.recv(1)


def test_a_front_end_that_is_gone_is_not_told(bench: Bench) -> None:
    front = bench.connect(load("m", bench.model()))
    bench.wait(lambda: "m" in bench.many._models)
    model = bench.many._models["m"]
    [waiting] = model._waiting
    front.close()
    model._send(waiting, b"anything")
    bench.many.forget(LoadedModel(bench.many, "m", "/"))
    assert bench.many.is_current(model)


def test_a_model_without_a_program_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.1)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "no_such_program.py")
    front = bench.connect(load("m", bench.folder))
    assert status_of(bench.wait_answer(front)) == 500
    cause = "SAGEMAKER_PROGRAM='no_such_program.py' was not found"
    assert f"model m: {cause}" in caplog.text
    failed = bench.many.file("m", ".failed").read_text()
    assert failed.startswith(f"model m could not be loaded: {cause}")
    front.close()


def test_a_full_disk_does_not_end_the_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.1)
    Path(launcher.models_folder(str(bench.folder))).rmdir()
    front = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(front)) == 200
    assert "model m: the front end cannot be told of it: " in caplog.text


def test_a_model_has_a_file_while_it_has_processes(bench: Bench) -> None:
    link = bench.link(bench.model())
    bench.wait(bench.many.file("m", ".served").exists)
    link.close()
    bench.wait(lambda: not bench.many.file("m", ".served").exists())


def test_a_model_is_refused_when_its_process_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "no_such_program.py")
    front = bench.connect(load("m", bench.folder))
    assert bench.wait_answer(bench.link(bench.folder)) == b""
    for _ in range(5):
        bench.loop.turn()
    with pytest.raises(BlockingIOError):
        front.recv(1)
    bench.end_processes()
    assert status_of(bench.wait_answer(front)) == 500
    # A connection that comes late is told the same.
    assert status_of(bench.wait_answer(bench.connect(load("m", bench.folder)))) == 500


def test_a_model_beyond_the_last_connection_is_507(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.many.taken.update(range(MAX_SLOTS))
    front = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(front)) == 507
    assert "no connection is left for it" in caplog.text
    bench.many.taken.clear()


def test_the_process_of_a_model_beyond_the_last_connection_is_sent_away(bench: Bench) -> None:
    bench.many.taken.update(range(MAX_SLOTS))
    front = bench.connect(load("m", bench.model()))
    bench.wait(lambda: "m" in bench.many._models)
    assert bench.wait_answer(bench.link(bench.model())) == b""
    bench.end_processes()
    assert status_of(bench.wait_answer(front)) == 507
    bench.many.taken.clear()


def test_a_connection_beyond_the_last_is_507_where_the_model_is_loaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    front = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(front)) == 200
    before = set(bench.many.taken)
    bench.many.taken.update(range(MAX_SLOTS))
    more = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(more)) == 507
    bench.many.taken.intersection_update(before)


def test_a_model_that_cannot_be_kept_is_taken_from_the_front_ends_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    front = bench.connect(load("a/b", bench.model()))
    bench.wait_answer(front)
    with socket.create_server(("127.0.0.1", bench.many.settings.port)) as server:
        bench.many._models["a/b"].on_failed("why", out_of_memory=False)
        bench.loop.turn()
        client, _ = server.accept()
        with client:
            assert client.recv(65536).startswith(b"DELETE /models/a%2Fb HTTP/1.1\r\n")
            # It would open again what it finds closed.
            with pytest.raises(BlockingIOError):
                front.recv(1)
            front.close()
            bench.wait(lambda: bench.many._models == {})
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            bench.loop.turn()


def test_a_front_end_that_cannot_be_asked_is_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    bench.wait_answer(bench.connect(load("m", bench.model())))
    for _ in range(2):  # each of two processes may say so
        bench.many._models["m"].on_failed("why", out_of_memory=False)
    bench.wait(lambda: bench.many._models == {})
    assert "the front end cannot be asked for /models/m: " in caplog.text


def test_a_model_may_be_gone_before_it_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    bench.wait_answer(bench.connect(load("m", bench.model())))
    model = bench.many._models["m"]
    model.on_failed("why", out_of_memory=False)
    bench.many.forget(model)
    bench.wait(lambda: bool(model._refusal))
    assert bench.many._models == {}


def test_a_model_that_loads_when_the_server_stops_is_refused(bench: Bench) -> None:
    front = bench.connect(load("m", bench.model("import time; time.sleep(60)")))
    bench.link(bench.model("import time; time.sleep(60)"))
    bench.wait(bench.many.file("m", ".served").exists)
    bench.many.stop()
    bench.end_processes()
    assert status_of(bench.wait_answer(front)) == 500
    assert "the server is stopping" in bench.many.file("m", ".failed").read_text()
    assert bench.heard == []
    front.close()
    bench.wait(lambda: bench.heard == ["stopped"])


def test_a_connection_of_a_refused_model_is_not_in_the_way_of_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.1)
    left = bench.connect(load("m", bench.folder))
    assert status_of(bench.wait_answer(left)) == 500
    refused = bench.many._models["m"]
    bench.wait(lambda: refused.is_over)
    next_one = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(next_one)) == 200
    assert bench.wait_answer(left) == b""
    assert bench.many._models["m"] is not refused
