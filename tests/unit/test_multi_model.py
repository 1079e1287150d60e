"""The supervisor's side of many models; the test is the front end, and its processes."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made import LoopBench, settings

from sagemaker_inference import frontend, loaded_model
from sagemaker_inference.backend.slots import MAX_SLOTS
from sagemaker_inference.child_process import python_command
from sagemaker_inference.frontend import LINK_ENV
from sagemaker_inference.loaded_model import LoadedModel
from sagemaker_inference.multi_model import MultiModel
from tests.server.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference.backend.messages import Report

SOURCE = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data
"""


def load(name: str, path: Path | str) -> bytes:
    """The message with which the front end asks for a model."""

    def text(value: str) -> bytes:
        return struct.pack("!i", len(value)) + value.encode()

    size, gpu = struct.pack("!i", 1), struct.pack("!i", -1)
    return b"L" + text(name) + text(str(path)) + size + text("sagemaker_inference") + gpu + text("")


class Bench(LoopBench):
    """Many models, and who wants to know of them."""

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__()
        self.folder = folder
        self.sockets: list[socket.socket] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        Path(frontend.models_folder(str(folder))).mkdir()
        told = settings(model_dir=str(folder), port=free_port(), multi_model=True, **changes)
        self.many = MultiModel(told, self.loop, self, str(folder))
        self.loop.every(0.02, self.many.reap)

    def on_all_loaded(self, report: Report) -> None:
        self.heard.append("ready")

    def model(self, source: str = SOURCE) -> Path:
        """Write a model."""
        code = self.folder / "model" / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_text(textwrap.dedent(source))
        return code.parent

    def connect(self, data: bytes) -> socket.socket:
        """Open a connection as the front end does, and send something on it."""
        front, theirs = socket.socketpair()
        self.many.accept(theirs)
        front.setblocking(False)  # noqa: FBT003 - socket's own signature
        front.send(data)
        self.sockets.append(front)
        return front

    def link(self, path: Path, name: str = "m") -> socket.socket:
        """Come as a process that the front end has started."""
        process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
        self.processes.append(process)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(frontend.link_path(str(self.folder)))
        message = {
            "name": name,
            "path": str(path),
            "handler": "sagemaker_inference",
            "pid": process.pid,
        }
        link.send(json.dumps(message).encode())
        link.setblocking(False)  # noqa: FBT003 - socket's own signature
        self.sockets.append(link)
        return link

    def wait_answer(self, sock: socket.socket) -> bytes:
        """What comes back; nothing where the connection is closed."""
        answer: list[bytes] = []

        def has_come() -> bool:
            try:
                answer.append(sock.recv(65536))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                answer.append(b"")
            return True

        self.wait(has_come)
        return answer[0]

    def end_processes(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def close_models(self) -> None:
        self.many.close()
        self.many.close = lambda: None  # type: ignore[method-assign]

    def close(self) -> None:
        self.many.close()
        self.loop.close()
        for sock in self.sockets:
            sock.close()
        self.end_processes()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.close()


def status_of(answer: bytes) -> int:
    return int(struct.unpack("!i", answer[:4])[0])


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
    link.connect(frontend.link_path(str(bench.folder)))
    link.close()
    bench.loop.turn()
    bench.loop.turn()
    assert bench.many._models == {}


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


def test_whoever_has_not_said_what_for_is_closed_with_the_rest(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    front = one.connect(b"L")
    one.close_models()
    assert one.wait_answer(front) == b""
    one.close()


def test_a_front_end_that_is_gone_is_not_told(bench: Bench) -> None:
    front = bench.connect(load("m", bench.model()))
    bench.wait(lambda: "m" in bench.many._models)
    model = bench.many._models["m"]
    [waiting] = model._waiting
    front.close()
    model._send(waiting, b"anything")
    bench.many.forget(LoadedModel(bench.many, "m", "/"))
    assert bench.many.is_current(model)


def test_a_process_that_the_supervisor_has_no_use_for_ends(tmp_path: Path) -> None:
    path = tmp_path / "link"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        options = ("--model-name", "m", "--model-path", "/", "--handler", "h")
        command = [*python_command("sagemaker_inference.multi_model_process"), *options]
        process = subprocess.Popen(command, env={**os.environ, LINK_ENV: str(path)})
        link, _ = listener.accept()
        assert json.loads(link.recv(65536))["pid"] == process.pid
        link.close()
        assert process.wait(30) == 0


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
    Path(frontend.models_folder(str(bench.folder))).rmdir()
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
