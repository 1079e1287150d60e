"""Workers that die, hang, are stopped or cannot be replaced, as clients see it."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Reply, Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

WORKER = "sagemaker_inference._worker"

# What a poison does is in the request.
POISON = """
import ctypes, os, sys, threading, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    if os.path.exists("broken"):
        raise RuntimeError("a transient failure")
    return None

def poison(kind):
    if kind == "exit":
        os._exit(3)
    if kind == "crash":
        os.kill(os.getpid(), 11)
    if kind == "hang":
        time.sleep(1000)
    if kind == "lock":
        ctypes.PyDLL(None).sleep(1000)
    if kind == "background":
        threading.Timer(0.2, lambda: ctypes.PyDLL(None).sleep(1000)).start()
    if kind == "memory":
        raise MemoryError
    if kind == "quit":
        sys.exit(3)
    if kind == "raise":
        raise ValueError
    if isinstance(kind, dict):
        time.sleep(kind["sleep"])
    return [kind, os.getpid()]

{}

serve(__name__)
"""
ONE_BY_ONE = POISON.format(
    """
@predictor
def predict(data, model):
    return poison(data)
"""
)
BATCHES = POISON.format(
    """
@predictor(max_batch_size=32, max_batch_delay=0.5)
def predict(batch, model):
    time.sleep(0.02)
    return [poison(data) for data in batch]
"""
)
THREADS = POISON.format(
    """
@predictor(threads=8)
def predict(data, model):
    return poison(data)
"""
)
ASYNC = POISON.format(
    """
import asyncio

@predictor
async def predict(data, model):
    if isinstance(data, dict):
        await asyncio.sleep(data.pop("sleep"))
        return data
    return poison(data)
"""
)


def is_poisoned(reply: Reply) -> bool:
    """Whether it is the answer to a poison: an error with the request's id."""
    if reply.status < 500:
        return False
    assert reply.json["error"]["request_id"] == reply.headers["x-request-id"]
    return True


def stop(pid: int) -> None:
    """Stop a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.once
def test_a_hundred_poisons_in_a_row_harm_nobody_else(serve: Serve) -> None:
    server = serve(ONE_BY_ONE, workers=2, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "3"})
    kinds = ["exit", "crash", "memory", "quit"] * 24 + ["hang"] * 4
    for count, kind in enumerate(kinds):
        if count % 10 == 0:
            assert server.request('"good"').json[0] == "good"
        assert is_poisoned(server.request(f'"{kind}"'))
    assert server.request('"good"').json[0] == "good"
    assert server.process.poll() is None


def test_a_worker_that_cannot_be_replaced_does_not_stop_the_others(
    serve: Serve,
) -> None:
    server = serve(ONE_BY_ONE, workers=2)
    broken = server.folder / "broken"
    broken.touch()
    os.kill(server.pids(WORKER)[0], signal.SIGKILL)
    server.wait_for_log("is started in 0.4 s", 60)
    assert server.request('"good"').status == 200
    assert server.log.count("is started in 0.1 s") == 1
    broken.unlink()
    server.wait_workers(2)
    assert {reply.status for reply in server.all_at_once(['{"sleep": 0.1}'] * 8)} == {200}


@pytest.mark.parametrize("kind", ["raise", "hang", "exit", "crash"])
def test_one_poison_in_a_batch_harms_no_other_request(serve: Serve, kind: str) -> None:
    server = serve(BATCHES, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "3"})
    bodies = [str(number) for number in range(32)]
    bodies[13] = f'"{kind}"'
    replies = server.all_at_once(bodies)
    assert is_poisoned(replies.pop(13))
    del bodies[13]
    assert [reply.status for reply in replies] == [200] * 31, server.log
    assert [str(reply.json[0]) for reply in replies] == bodies


@pytest.mark.parametrize(
    ("kind", "code"), [("exit", "process_died"), ("hang", "prediction_timeout")]
)
def test_a_program_may_refuse_that_requests_are_predicted_again(
    serve: Serve, kind: str, code: str
) -> None:
    source = BATCHES.replace("max_batch_delay=0.5", "max_batch_delay=2, retry_one_by_one=False")
    server = serve(source, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "3"})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.request, "1")
        # The others are not late yet when it is.
        time.sleep(1)
        replies = [*server.all_at_once([f'"{kind}"', "2"]), first.result()]
    assert [reply.json["error"]["code"] for reply in replies] == [code] * 3


@pytest.mark.parametrize("kind", ["hang", "lock", "exit"])
def test_one_poison_in_a_thread_harms_no_other_request(serve: Serve, kind: str) -> None:
    server = serve(THREADS, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "6"})
    with ThreadPoolExecutor(8) as pool:
        poisoned = pool.submit(server.request, f'"{kind}"')
        time.sleep(0.5)
        others = [pool.submit(server.request, '{"sleep": 3}') for _ in range(3)]
        time.sleep(1)
        others += [pool.submit(server.request, '{"sleep": 3}') for _ in range(3)]
        assert poisoned.result().status == (500 if kind == "exit" else 504)
        assert [future.result().status for future in others] == [200] * 6, server.log


def test_a_call_that_blocks_the_loop_is_noticed_at_the_limit(serve: Serve) -> None:
    server = serve(ASYNC, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "6"})
    began = time.monotonic()
    assert server.request('"hang"').status == 504
    assert time.monotonic() - began < 9
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(server.request, '{"sleep": 1.5}') for _ in range(3)]
        time.sleep(0.5)
        assert pool.submit(server.request, '"hang"').result().status == 504
        assert [future.result().status for future in others] == [200] * 3


def test_stopped_workers_are_replaced_and_who_waits_gets_504(serve: Serve) -> None:
    server = serve(ONE_BY_ONE, workers=2, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "2"})
    workers = server.pids(WORKER)
    for pid in workers:
        stop(pid)
    replies = server.all_at_once(['"good"'] * 20)
    assert {reply.status for reply in replies} == {504}
    assert {reply.json["error"]["code"] for reply in replies} == {"prediction_timeout"}
    server.wait_for_log("has been stopped for 12 s", 30)
    server.wait_workers(2, other_than=workers)
    assert server.request('"good"').status == 200
    assert "no worker took them" in server.log


def test_a_thread_that_keeps_the_lock_costs_its_worker(serve: Serve) -> None:
    server = serve(ONE_BY_ONE, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "6"})
    before = server.request('"background"').json[1]
    server.wait_for_log("keeps Python's lock", 30)
    server.wait_workers(1, other_than=[before])
    assert server.request('"good"').json[1] != before


def test_a_worker_within_its_time_limit_is_not_stuck(serve: Serve) -> None:
    source = ECHO.replace(
        "return data", "import ctypes; ctypes.PyDLL(None).sleep(data); return data"
    )
    server = serve(source, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "20"})
    assert server.request("13").json == 13
    assert "is replaced" not in server.log
