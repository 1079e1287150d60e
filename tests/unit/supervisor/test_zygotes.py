"""Workers that are forked from a zygote, and zygotes that cannot be forked."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.deployed import SOURCE, benches
from support.mms_bytes import predict_one

from sagemaker_inference._supervisor import time_limits
from sagemaker_inference._supervisor.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.deployed import Bench

    from sagemaker_inference._supervisor.worker_handle import WorkerHandle


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


FAILS_LATER = SOURCE.replace(
    "return None",
    """path = model_dir + "/loaded"
        if os.path.exists(path): raise RuntimeError("no weights")
        open(path, "w")""",
)


def zygote_of(one: Bench) -> WorkerHandle:
    """Wait until the model is loaded."""
    one.wait(lambda: "loaded" in one.heard)
    zygote = one.workers._zygote
    assert zygote is not None
    return zygote


def test_a_zygote_makes_the_processes_and_their_successors(bench: Callable[..., Bench]) -> None:
    one = bench(preload=True, workers=2)
    one.wait(lambda: "loaded" in one.heard)
    assert len(one.workers.handles) == 2
    assert b"ABC" in one.ask(b"abc")
    assert b"process_died" in one.ask(b"kill")
    one.wait(lambda: one.workers.all_loaded)
    assert b"ABC" in one.ask(b"abc")


def test_a_zygote_that_dies_while_it_copies_is_made_anew(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(preload=True)
    zygote = zygote_of(one)
    os.kill(zygote.child.pid, signal.SIGSTOP)
    one.front.send(predict_one("id-1", b"kill"))
    one.wait(lambda: bool(one.workers._being_forked))
    os.kill(zygote.child.pid, signal.SIGKILL)
    one.wait(lambda: one.workers._zygote is not zygote and one.workers.all_loaded)
    assert "was killed by SIGKILL" in caplog.text


def test_a_zygote_that_cannot_load_is_a_failure(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(SOURCE.replace("return None", "os.kill(os.getpid(), 11)"), preload=True)
    one.wait(lambda: "failed" in one.heard)
    assert "was killed by SIGSEGV" in caplog.text
    assert one.outcomes == [Outcome("its worker was killed by SIGSEGV")]


def test_a_copy_that_the_zygote_cannot_make_comes_from_the_next(
    bench: Callable[..., Bench],
) -> None:
    one = bench(preload=True)
    zygote = zygote_of(one)
    os.kill(zygote.child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, zygote.child.pid, os.WEXITED | os.WNOWAIT)
    one.workers._start_one(0)
    one.workers.reap()
    one.workers._start_one(0)
    assert one.workers._being_forked == {}
    one.wait(lambda: one.workers._zygote is not None and one.workers._zygote.stage == "loaded")


def test_a_zygote_that_cannot_load_again_does_no_harm_while_workers_answer(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(FAILS_LATER, preload=True)
    zygote = zygote_of(one)
    os.kill(zygote.child.pid, signal.SIGKILL)
    one.wait(lambda: "is started in 0.2 s" in caplog.text)
    assert b"ABC" in one.ask(b"abc")
    assert "failed" not in one.heard


def test_a_zygote_that_does_not_fork_is_made_anew(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(preload=True)
    zygote = zygote_of(one)
    os.kill(zygote.child.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:  # its successor has the time that it needs
        patch.setattr(time_limits, "_FORK_SECONDS", 0.2)
        assert b"process_died" in one.ask(b"kill")
        one.wait(lambda: one.workers._zygote is not zygote)
    one.wait(lambda: one.workers._zygote is not None and one.workers.all_loaded)
    assert f"zygote {zygote.child.pid} does not fork and is replaced" in caplog.text
    assert b"ABC" in one.ask(b"abc")


# A loader that leaves a thread behind, where the folder says so.
WITH_THREAD = SOURCE.replace(
    "return None",
    """import threading
        if os.path.exists(model_dir + "/threads"):
            threading.Thread(target=time.sleep, args=(60,), daemon=True, name="feed").start()""",
).replace("body.upper()", "body.upper() + str(os.getpid())")


def test_a_zygote_with_threads_serves_and_the_others_load_themselves(
    bench: Callable[..., Bench], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "threads").touch()
    one = bench(WITH_THREAD, preload=True, workers=2)
    one.wait(lambda: "loaded" in one.heard)
    assert one.workers._zygote is None
    assert sorted(worker.index for worker in one.workers.handles) == [0, 1]
    assert b"ABC" in one.ask(b"abc")
    assert b"process_died" in one.ask(b"kill")
    one.wait(lambda: one.workers.all_loaded)
    assert b"ABC" in one.ask(b"abc")
    assert caplog.text.count("SAGEMAKER_PRELOAD: no workers are forked, since threads run") == 1
    assert "once the model is loaded: 'feed'" in caplog.text


def test_a_successor_of_a_zygote_that_has_threads_leaves_the_copies_alone(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    one = bench(WITH_THREAD, preload=True, workers=2)
    one.wait(lambda: "loaded" in one.heard)
    copies, zygote = one.workers.handles, one.workers._zygote
    assert zygote is not None
    (tmp_path / "threads").touch()
    os.kill(zygote.child.pid, signal.SIGKILL)
    one.wait(lambda: not one.workers._forks)
    one.wait(lambda: one.workers.count == 2)
    assert one.workers.handles == copies
    assert b"ABC" in one.ask(b"abc")
