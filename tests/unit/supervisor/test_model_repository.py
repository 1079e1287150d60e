"""The supervisor's side of many models; the test is the front end, and its processes."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from many_models import Bench, load, status_of

from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._frontends.mms.launcher import LINK_ENV
from sagemaker_inference._os.child_process import python_command
from sagemaker_inference._supervisor import loaded_model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_without_models_is_ready_and_stops(bench: Bench) -> None:
    bench.many.start()
    bench.many.stop()
    assert bench.heard == ["ready", "stopped"]
    assert not bench.many.is_busy()
    assert bench.many.is_connected


@pytest.mark.parametrize("data", [b"nonsense", b"L\xff\xff\xff\xff", b"I\xff\xff\xff\xff"])
def test_a_connection_that_does_not_ask_for_a_model_is_closed(bench: Bench, data: bytes) -> None:
    assert bench.wait_answer(bench.connect(data)) == b""


def test_a_connection_that_ends_before_it_asks_is_forgotten(bench: Bench) -> None:
    front = bench.connect(b"L")
    front.close()
    bench.wait(lambda: not bench.many._strangers)
    assert bench.many._models == {}


def test_a_request_for_a_model_may_come_in_pieces(bench: Bench) -> None:
    message = load("m", "/nowhere")
    front = bench.connect(message[:7])
    bench.loop.turn()
    assert bench.many._models == {}
    front.send(message[7:])
    bench.wait(lambda: "m" in bench.many._models)


def test_a_process_that_ends_before_it_speaks_is_forgotten(bench: Bench) -> None:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.connect(launcher.link_path(str(bench.folder)))
    link.close()
    bench.loop.turn()
    bench.loop.turn()
    assert bench.many._models == {}


def test_whoever_has_not_said_what_for_is_closed_with_the_rest(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    front = one.connect(b"L")
    one.close_models()
    assert one.wait_answer(front) == b""
    one.close()


def test_a_process_that_the_supervisor_has_no_use_for_ends(tmp_path: Path) -> None:
    path = tmp_path / "link"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        options = ("--model-name", "m", "--model-path", "/", "--handler", "h")
        command = [*python_command("sagemaker_inference._worker.multi_model_process"), *options]
        process = subprocess.Popen(command, env={**os.environ, LINK_ENV: str(path)})
        link, _ = listener.accept()
        assert json.loads(link.recv(65536))["pid"] == process.pid
        link.close()
        assert process.wait(30) == 0


def test_the_first_processes_of_models_share_the_gpus(tmp_path: Path) -> None:
    one = Bench(tmp_path, gpus=["0", "1"])
    path = str(one.model())
    found = [one.many.settings_of("m", path, "sagemaker_inference").gpus for _ in range(3)]
    assert found == [["0", "1"], ["1", "0"], ["0", "1"]]
    one.close()


def test_requirements_of_a_model_are_not_installed_and_that_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    path = bench.model()
    bench.many.settings_of("m", str(path), "sagemaker_inference")
    assert caplog.text == ""
    (path / "code" / "requirements.txt").touch()
    bench.many.settings_of("m", str(path), "sagemaker_inference")
    assert "model m: its requirements.txt is not installed" in caplog.text


def test_a_models_own_handler_service_is_used(bench: Bench) -> None:
    settings = bench.many.settings_of("a/b", "/anywhere", "service.py:handle")
    assert (settings.program, settings.handler_service) == (None, "service.py:handle")
    assert settings.path == "/models/a%2Fb/invoke"


def listing(*names: str) -> bytes:
    """What the front end answers when it is asked for its models."""
    models = [{"modelName": name, "modelUrl": "/"} for name in names]
    return b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"models": models}).encode()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\n\r\n{}"


def answer(server: socket.socket, asked: str, response: bytes) -> None:
    """Be the front end that is asked for this."""
    server.settimeout(20)
    client, _ = server.accept()
    with client:
        assert client.recv(65536).startswith(f"GET {asked} HTTP/1.1\r\n".encode())
        client.sendall(response)


def ask(bench: Bench, server: socket.socket, response: bytes) -> None:
    """Have the front end asked for its models; it answers this."""
    bench.many.check_time_limits()
    answer(server, "/models?limit=100", response)
    bench.wait(lambda: not bench.many._is_asking)


def test_a_model_that_the_front_end_does_not_have_is_forgotten(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # Its connection was about to be opened when it was unloaded: it stays open.
    front = bench.connect(load("a/b", bench.model()))
    bench.wait(lambda: "a/b" in bench.many._models)
    with socket.create_server(("127.0.0.1", bench.many.settings.port)) as server:
        for response in (
            listing("c", "a/b"),
            b"HTTP/1.1 500 Oh\r\n\r\n{}",
            b"\r\n\r\n[]",
            b"nonsense",
            b"",
        ):
            ask(bench, server, response)
            assert "a/b" in bench.many._models
        # The list does not have all of more than a hundred.
        ask(bench, server, listing("c"))
        answer(server, "/models/a%2Fb", b"HTTP/1.1 200 OK\r\n\r\n{}")
        bench.wait(lambda: len(bench.many._strangers) == 0)
        assert "a/b" in bench.many._models
        ask(bench, server, listing("c"))
        answer(server, "/models/a%2Fb", NOT_FOUND)
        bench.wait(lambda: bench.many._models == {})
    assert "model a/b is unloaded" in caplog.text
    assert bench.wait_answer(front) == b""


def test_a_process_that_the_front_end_has_not_killed_is_forgotten(bench: Bench) -> None:
    link = bench.link(bench.model())
    bench.wait(bench.many.file("m", ".served").exists)
    with socket.create_server(("127.0.0.1", bench.many.settings.port)) as server:
        ask(bench, server, listing())
        answer(server, "/models/m", NOT_FOUND)
        bench.wait(lambda: bench.many._models == {})
    assert not bench.many.file("m", ".served").exists()
    link.close()


def test_a_front_end_that_hangs_up_has_not_answered(bench: Bench) -> None:
    bench.connect(load("m", bench.model()))
    bench.wait(lambda: "m" in bench.many._models)
    with socket.create_server(("127.0.0.1", bench.many.settings.port)) as server:
        bench.many.check_time_limits()
        bench.many.check_time_limits()  # it is asked once
        client, _ = server.accept()
        reset = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.close()
        bench.wait(lambda: not bench.many._is_asking)
        server.setblocking(False)  # noqa: FBT003 - socket's own signature
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "m" in bench.many._models


def test_what_comes_while_the_front_end_is_asked_belongs_to_the_next_model(bench: Bench) -> None:
    bench.connect(load("m", bench.model()))
    bench.wait(lambda: "m" in bench.many._models)
    with socket.create_server(("127.0.0.1", bench.many.settings.port)) as server:
        ask(bench, server, listing())
        bench.connect(load("m", bench.model()))
        model = bench.many._models["m"]
        bench.wait(lambda: len(model._waiting) > 1)
        answer(server, "/models/m", NOT_FOUND)
        bench.wait(lambda: len(bench.many._strangers) == 0)
    assert bench.many._models == {"m": model}


def test_nobody_is_asked_where_there_is_no_model(bench: Bench) -> None:
    bench.many.check_time_limits()
    assert not bench.many._is_asking


def test_a_model_of_the_same_name_from_elsewhere_is_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "_PROCESS_SECONDS", 0.0)
    old = bench.connect(load("m", bench.model()))
    assert status_of(bench.wait_answer(old)) == 200
    (bench.folder / "other").symlink_to(bench.model())
    new = bench.connect(load("m", bench.folder / "other"))
    assert status_of(bench.wait_answer(new)) == 200
    assert bench.wait_answer(old) == b""
    assert bench.many._models["m"].path == str(bench.folder / "other")
