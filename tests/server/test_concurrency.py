"""Many requests at once: processes, batches, threads and coroutines."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


def test_every_worker_is_a_process_with_its_share_of_the_processors(shared: Serve) -> None:
    server = shared(ACCIDENTS, workers=2)
    assert len(server.pids("sagemaker_inference._worker")) == 2
    replies = server.all_at_once(['{"sleep": 0.3}'] * 4)
    assert len({reply.json["pid"] for reply in replies}) == 2
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {reply.json["omp"] for reply in replies} == {str(share)}


def test_a_free_process_takes_what_a_busy_one_cannot(shared: Serve) -> None:
    server = shared(ACCIDENTS, workers=2)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.request, '{"sleep": 2}')
        time.sleep(0.2)
        began = time.monotonic()
        for _ in range(20):
            assert server.request('"ok"').status == 200
        assert not slow.done()
        assert time.monotonic() - began < 2
        assert slow.result().status == 200


def test_each_gpu_has_a_process_that_sees_it_as_the_first(serve: Serve) -> None:
    source = ECHO.replace("def predict(data, model)", "def predict(data, model, context)").replace(
        "return data",
        "import os, time; time.sleep(0.2); "
        "return [context.gpu_id, os.environ['CUDA_VISIBLE_DEVICES']]",
    )
    server = serve(source, workers=None, env={"CUDA_VISIBLE_DEVICES": "GPU-4,GPU-7"})
    replies = server.all_at_once(["1"] * 4)
    assert sorted({tuple(reply.json) for reply in replies}) == [(0, "GPU-4"), (0, "GPU-7")]


BATCHES = """
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor(max_batch_size=8, max_batch_delay=0.5)
def predict(data, model):
    if any(value == "bad" for value in data):
        raise ValueError("bad input")
    return [[value, len(data)] for value in data]

serve(__name__)
"""


def test_requests_that_arrive_together_are_one_batch(shared: Serve) -> None:
    server = shared(BATCHES)
    replies = server.all_at_once([f'"{name}"' for name in "abcdef"])
    assert [reply.json[0] for reply in replies] == list("abcdef")
    assert max(reply.json[1] for reply in replies) > 1


def test_one_bad_request_of_a_batch_fails_alone(shared: Serve) -> None:
    server = shared(BATCHES)
    replies = server.all_at_once(['"a"', '"bad"', '"b"', '{"broken', '"c"'])
    assert [reply.status for reply in replies] == [200, 500, 200, 400, 200]
    server.wait_for_log("retrying in halves")


def test_the_batch_size_can_be_set_from_outside(serve: Serve) -> None:
    server = serve(BATCHES, env={"SAGEMAKER_MAX_BATCH_SIZE": "2"})
    replies = server.all_at_once(['"a"'] * 8)
    assert max(reply.json[1] for reply in replies) == 2


# Fails wherever one of its functions runs in another thread than its model loader, or beside its
# predictor: as programs do whose libraries belong to a thread, or keep one state for all calls.
ONE_THREAD = """
import json, threading, time
from sagemaker_inference import decoder, encoder, model_loader, predictor
from sagemaker_inference import on_shutdown, serve, warmup

THREADS = []

def check():
    THREADS.append(threading.get_ident())
    if len(set(THREADS)) > 1 or predicting.locked():
        raise RuntimeError("in another thread, or beside a prediction")

predicting = threading.Lock()

@model_loader
def load(model_dir):
    check()

@warmup
def warm_up(model_dir, model):
    check()

@decoder("application/json")
def decode(body):
    check()
    return json.loads(body)

@predictor(max_batch_size=4)
def predict(data, model):
    check()
    with predicting:
        time.sleep(0.02)
    return data

@encoder("application/json")
def encode(prediction):
    check()
    return json.dumps(prediction)

@on_shutdown
def stop():
    check()
    print("stopped in the same thread", flush=True)

serve(__name__)
"""


def test_the_functions_of_a_program_share_a_thread_and_take_turns(serve: Serve) -> None:
    server = serve(ONE_THREAD)
    # More than two batches, so that there is always one to read or to answer beside another.
    for _ in range(3):
        replies = server.all_at_once([str(number) for number in range(24)])
        assert [(reply.status, reply.json) for reply in replies] == [(200, n) for n in range(24)]
    assert server.stop() == 0
    server.wait_for_log("stopped in the same thread")


def test_stacked_rows_find_their_way_back(serve: Serve) -> None:
    source = """
        from sagemaker_inference import model_loader, predictor, serve

        @model_loader
        def load(model_dir):
            return 1

        @predictor(max_batch_size=8, max_batch_delay=0.5, collate="concatenate")
        def predict(data, model):
            return data.sum(axis=1)

        serve(__name__)
    """
    server = serve(source)
    bodies = ["[[1, 2]]", "[[3, 4], [5, 6]]", "[[1, 2, 3]]", "[[7, 8], [9, 10], [11, 12]]"]
    replies = server.all_at_once(bodies)
    assert [reply.json for reply in replies] == [[3], [7, 11], [6], [15, 19, 23]]


CONCURRENT = """
import asyncio, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return {"now": 0, "most": 0}

@predictor
async def predict(data, model):
    model["now"] += 1
    model["most"] = max(model["most"], model["now"])
    await asyncio.sleep(data)
    model["now"] -= 1
    return model["most"]

serve(__name__)
"""


def test_async_predictors_run_concurrently(serve: Serve) -> None:
    server = serve(CONCURRENT, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "2"})
    replies = server.all_at_once(["1"] * 20)
    assert max(reply.json for reply in replies) == 20
    reply = server.request("30")
    assert (reply.status, reply.json["error"]["code"]) == (504, "prediction_timeout")
    assert server.request("0").status == 200
    assert len(server.pids("sagemaker_inference._worker")) == 1
    assert server.stop() == 0


def test_more_async_requests_than_places_are_all_answered(serve: Serve) -> None:
    server = serve(CONCURRENT)
    replies = server.all_at_once(["0.6"] * 60)
    assert [reply.status for reply in replies] == [200] * 60
    assert max(reply.json for reply in replies) == 32


def test_blocking_predictors_run_on_threads(serve: Serve) -> None:
    source = (
        CONCURRENT.replace("@predictor", "@predictor(threads=4)")
        .replace("async def", "def")
        .replace("await asyncio.sleep", "time.sleep")
    )
    server = serve(source)
    replies = server.all_at_once(["0.3"] * 8)
    assert max(reply.json for reply in replies) == 4
    assert server.stop() == 0


def test_a_cancelled_async_request_is_answered_at_once(serve: Serve) -> None:
    server = serve(
        CONCURRENT.replace("model['now'] += 1", "").replace(
            "await asyncio.sleep(data)", "raise asyncio.CancelledError"
        )
    )
    assert server.request("1", timeout=5).status == 500
