"""`sagemaker-inference ray`, the file that it writes, and the example, in processes of Ray."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import blocks
from support.http_load import Answer, post
from support.ports import free_port
from support.ray_files import ENVIRONMENT, scratch
from support.streams import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Cluster

# Warnings of Ray are about Ray.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

RUN = "import sys; from sagemaker_inference.__main__ import main; sys.exit(main(sys.argv[1:]))"
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "ray_graph"
SLOW = """
import os
import time
from sagemaker_inference import model_loader, on_shutdown, predictor, serve

@model_loader
def load():
    return None

@predictor
def predict(data):
    if data:
        open("begun", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    return data

@on_shutdown
def clean_up():
    open("cleaned up", "w").close()

serve(__name__)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = SLOW
    for name in ("begun", "go", "cleaned up"):
        text = text.replace(f'"{name}"', repr(str(tmp_path / name)))
    (tmp_path / "inference.py").write_text(text)
    return tmp_path


@contextmanager
def started(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command with a Ray of its own, which is small and leaves nothing behind."""
    with scratch() as files:
        environment = {
            **os.environ,
            **ENVIRONMENT,
            "RAY_TMPDIR": str(files),
            "TMPDIR": str(files),
            "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "80000000",
        }
        # Not a pipe: processes of Ray, which end a little later, would hold it.
        with (
            (folder / "out.txt").open("w") as output,
            subprocess.Popen(words, cwd=folder, env=environment, stdout=output) as process,
        ):
            try:
                yield process
            finally:
                process.kill()


def has_said(process: subprocess.Popen[bytes], text: str, output: Path) -> bool:
    assert process.poll() is None
    return text in output.read_text()


def is_alive(port: int) -> bool:
    """Whether the program answers pings; where it is being deleted, Ray's proxy sends none on."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=60):
            return True
    except OSError:
        return False


def is_served(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None
    return post(port, "/invocations", 0) == Answer(200, 0)


def test_a_server_that_is_stopped_answers_what_it_has(folder: Path) -> None:
    port = free_port()
    words = [sys.executable, "-c", RUN, "ray", "inference.py", "--port", str(port)]
    with started(words, folder) as process:
        said = f"inference.py is served at http://127.0.0.1:{port}. Ctrl-C stops it.\n"
        wait_until(lambda: has_said(process, said, folder / "out.txt"), 300)
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(post(port, "/invocations", 3)))
        asking.start()
        wait_until((folder / "begun").exists, 60)
        assert is_alive(port)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_alive(port), 60)
        assert not answers
        (folder / "go").touch()
        asking.join()
        assert answers == [(200, 3)]
        assert process.wait(180) == 0
    assert (folder / "cleaned up").exists()


def test_a_program_that_cannot_load_ends_the_command(folder: Path) -> None:
    (folder / "inference.py").write_text("import nothing_of_this_name")
    words = [sys.executable, "-c", RUN, "ray", "--port", str(free_port())]
    with started(words, folder) as process:
        assert process.wait(300) == 1
    assert "is served" not in (folder / "out.txt").read_text()


def test_ray_serves_the_file_that_is_written(folder: Path) -> None:
    import yaml
    from ray.serve.schema import ServeDeploySchema

    port = free_port()
    words = [sys.executable, "-c", RUN, "ray", str(folder / "inference.py"), "--port", str(port)]
    target = folder / "config.yaml"
    options = ["--host", "127.0.0.1", "--replicas", "2", "--write", str(target)]
    subprocess.run([*words, *options], check=True, timeout=120)
    document: dict[str, Any] = yaml.safe_load(target.read_text())
    parsed = ServeDeploySchema.model_validate(document)
    assert parsed.applications[0].deployments[0].num_replicas == 2
    serve = Path(sys.executable).with_name("serve")
    with started([str(serve), "run", "config.yaml"], folder) as process:
        wait_until(lambda: is_served(process, port), 300)
        process.send_signal(signal.SIGINT)
        process.wait(180)


def test_the_example_is_two_programs_in_a_graph(cluster: Cluster) -> None:
    # As __main__, so that Ray ships the class as it is.
    graph = runpy.run_path(str(EXAMPLE / "graph.py"), run_name="__main__")
    cluster.serve.run(graph["app"], name="graph", route_prefix="/graph")
    texts = ["the team won the match", "the bank raised its price"]
    assert post(cluster.port, "/graph/", texts) == (200, ["sport", "business"])
    names = cluster.serve.status().applications["graph"].deployments
    assert sorted(names) == ["Topics", "classify", "embed"]


def test_what_the_documents_show_runs(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE.parent / "iris")
    document = EXAMPLE.parent.parent / "docs" / "scaling.md"
    serving, asking = [block for block in blocks(document) if block.language == "py"][:2]
    names: dict[str, Any] = {}
    exec(compile(serving.text, "serving", "exec"), names)  # noqa: S102
    exec(compile(f"found = {asking.text}", "asking", "exec"), names)  # noqa: S102
    # Of three classes, the first.
    assert names["found"][0][0] > 0.9
