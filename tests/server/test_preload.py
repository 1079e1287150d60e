"""A model that is loaded once, and processes that share it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.measurement import UNMEASURED
from support.streams import wait_until

from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


def test_a_preloaded_model_is_loaded_once_and_shared(serve: Serve) -> None:
    source = """
        import os
        from pathlib import Path
        from sagemaker_inference import model_loader, on_shutdown, predictor, serve

        @model_loader
        def load(model_dir):
            print("loading")
            return bytearray(os.urandom(1 << 20)) * 200

        @predictor
        def predict(data, model):
            import time
            time.sleep(0.2)
            if data == "kill":
                os.kill(os.getpid(), 9)
            rollup = Path("/proc/self/smaps_rollup").read_text()
            private = sum(
                int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private")
            )
            return [os.getpid(), len(model), private]

        @on_shutdown
        def clean_up(model):
            print("cleaned up")

        serve(__name__)
    """
    server = serve(source, workers=3, env={"SAGEMAKER_PRELOAD": "true"})
    replies = server.all_at_once(["1"] * 9)
    assert [reply.status for reply in replies] == [200] * 9
    assert len({reply.json[0] for reply in replies}) == 3
    assert {reply.json[1] for reply in replies} == {200 << 20}
    assert max(reply.json[2] for reply in replies) < 60_000
    assert server.request('"kill"').json["error"]["code"] == "process_died"
    # Until the next worker is there, the others answer.
    wait_until(lambda: len({reply.json[0] for reply in server.all_at_once(["1"] * 9)}) == 3)
    assert server.log.count("loading") == 1
    assert server.stop() == 0
    assert server.log.count("cleaned up") == 3
    server.wait_gone()


def test_a_preload_that_fails_ends_the_start(start: Serve) -> None:
    source = ECHO.replace("return None", "raise ValueError('no weights')")
    server = start(source, env={"SAGEMAKER_PRELOAD": "true"})
    assert server.wait_end() == 1
    assert server.log.strip().endswith("ValueError: no weights")
    server.wait_gone()


def test_a_template_that_dies_is_made_anew(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2, env={"SAGEMAKER_PRELOAD": "true"})
    workers = {reply.json["pid"] for reply in server.all_at_once(['{"sleep": 0.2}'] * 6)}
    template = next(pid for pid in server.pids("sagemaker_inference._worker") if pid not in workers)
    os.kill(template, signal.SIGKILL)
    server.wait_for_log("was killed by SIGKILL")
    assert server.request('"kill"').status == 500
    wait_until(lambda: len(server.pids("sagemaker_inference._worker")) == 3)
    assert {reply.status for reply in server.all_at_once(['{"sleep": 0.2}'] * 6)} == {200}


def test_no_copy_survives_the_killed_supervisor(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2, env={"SAGEMAKER_PRELOAD": "true", **UNMEASURED})
    server.process.kill()
    server.wait_gone(5)
