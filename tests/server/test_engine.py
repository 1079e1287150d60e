"""Kills, hangs, stops, batches: nothing is lost, and what fails says why."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ECHO, Reply, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

# What to do is in the request, so that one program serves for all kinds of accidents.
ACCIDENTS = """
import os, signal, sys, time
from sagemaker_inference import model_loader, on_shutdown, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    if data == "exit":
        print("about to exit"); os._exit(3)
    if data == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == "memory":
        raise MemoryError
    if isinstance(data, dict):
        time.sleep(data["sleep"])
    return {"pid": os.getpid(), "omp": os.environ["OMP_NUM_THREADS"]}

@on_shutdown
def clean_up(model):
    print("cleaned up")

serve(__name__)
"""


def all_at_once(server: Server, bodies: list[str]) -> list[Reply]:
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(server.request, bodies))


@pytest.mark.parametrize(
    ("accident", "words"),
    [
        ("exit", "ended with exit code 3"),
        ("kill", "was killed by SIGKILL"),
        ("crash", "was killed by SIGSEGV"),
    ],
)
def test_a_process_that_dies_is_replaced_and_its_request_answered(
    serve: Serve, accident: str, words: str
) -> None:
    server = serve(ACCIDENTS)
    before = server.request('"ok"').json["pid"]
    reply = server.request(f'"{accident}"')
    assert reply.status == 500
    error = reply.json["error"]
    assert error["code"] == "process_died"
    assert error["request_id"] == reply.headers["x-request-id"]
    after = server.request('"ok"')
    assert after.status == 200
    assert after.json["pid"] != before
    server.wait_for_log("Its last lines:")
    log = server.log
    assert f"model process {before} {words}" in log
    assert f"{error['request_id']} (500)" in log
    if accident == "exit":
        server.wait_for_log("about to exit")
        log = server.log
        assert re.search(r"Its last lines:\n +about to exit", log)


def test_requests_that_wait_survive_the_death_of_the_process(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(12) as pool:
        slow = pool.submit(server.request, '{"sleep": 1}')
        time.sleep(0.3)
        waiting = [pool.submit(server.request, '"ok"') for _ in range(10)]
        time.sleep(0.3)
        os.kill(server.pids("model_process")[0], signal.SIGKILL)
        assert slow.result().status == 500
        assert [future.result().status for future in waiting] == [200] * 10


def test_a_request_that_takes_too_long_gets_504_and_others_go_on(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "1"})
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(server.request, '{"sleep": 30}')
        began = time.monotonic()
        while time.monotonic() - began < 2:
            assert server.request('"ok"').status == 200
        reply = stuck.result()
    assert reply.status == 504
    assert reply.json["error"]["code"] == "prediction_timeout"
    server.wait_for_log("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS")
    assert server.request('"ok"').status == 200


def test_memory_errors_are_507_and_the_process_lives(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    before = server.request('"ok"').json["pid"]
    reply = server.request('"memory"')
    assert (reply.status, reply.json["error"]["code"]) == (507, "out_of_memory")
    assert server.request('"ok"').json["pid"] == before


def test_repeated_early_deaths_end_the_server_with_the_cause(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    for _ in range(5):
        if server.process.poll() is None:
            for pid in server.pids("model_process"):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
    assert server.wait_end() == 1
    assert "died 5 times within a minute of starting" in server.log
    server.wait_gone()


def test_the_death_of_the_front_end_ends_the_server(serve: Serve) -> None:
    server = serve()
    os.kill(server.pids("ModelServer")[0], signal.SIGKILL)
    assert server.wait_end() == 1
    assert "the front end was killed by SIGKILL" in server.log
    server.wait_gone()


def test_sigterm_answers_what_is_in_flight_and_runs_the_shut_down_hook(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(server.request, '{"sleep": 0.3}') for _ in range(6)]
        time.sleep(0.3)
        assert server.stop() == 0
        assert [future.result().status for future in pending] == [200] * 6
    assert "cleaned up" in server.log
    server.wait_gone()


def test_an_interrupt_from_the_keyboard_stops_as_sigterm_does(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    server.process.send_signal(signal.SIGINT)
    assert server.wait_end() == 0
    assert "cleaned up" in server.log
    assert "Traceback" not in server.log


def test_a_second_sigterm_stops_at_once(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.request, '{"sleep": 15}')
        time.sleep(0.5)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_end() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
    server.wait_gone()


def test_nothing_survives_the_killed_supervisor(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.request, '{"sleep": 15}')
        time.sleep(0.3)
        server.process.kill()
        server.wait_gone(5)


def test_every_worker_is_a_process_with_its_share_of_the_processors(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2)
    assert len(server.pids("model_process")) == 2
    replies = all_at_once(server, ['{"sleep": 0.3}'] * 4)
    assert len({reply.json["pid"] for reply in replies}) == 2
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {reply.json["omp"] for reply in replies} == {str(share)}


def test_a_free_process_takes_what_a_busy_one_cannot(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2)
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
    source = ECHO.replace("return data", "import os; return os.environ['CUDA_VISIBLE_DEVICES']")
    source = source.replace("def predict(data, model)", "def predict(data, model, context)")
    source = source.replace(
        "return os.environ", "import time; time.sleep(0.2); return [context.gpu_id] + [os.environ"
    ).replace("DEVICES']", "DEVICES']]")
    server = serve(source, workers=None, env={"CUDA_VISIBLE_DEVICES": "4,7"})
    replies = all_at_once(server, ["1"] * 4)
    assert sorted({tuple(reply.json) for reply in replies}) == [(0, "4"), (0, "7")]


BATCHES = """
import time
import numpy as np
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return []

@predictor(max_batch_size=8, max_batch_delay=0.5)
def predict(data, model):
    model.append(len(data))
    if any(value == "bad" for value in data):
        raise ValueError("bad input")
    return [[value, list(model)] for value in data]

serve(__name__)
"""


def test_requests_that_arrive_together_are_one_batch(serve: Serve) -> None:
    server = serve(BATCHES)
    replies = all_at_once(server, [f'"{name}"' for name in "abcdef"])
    assert [reply.json[0] for reply in replies] == list("abcdef")
    assert max(max(reply.json[1]) for reply in replies) > 1


def test_one_bad_request_of_a_batch_fails_alone(serve: Serve) -> None:
    server = serve(BATCHES)
    replies = all_at_once(server, ['"a"', '"bad"', '"b"', '{"broken', '"c"'])
    assert [reply.status for reply in replies] == [200, 500, 200, 400, 200]
    server.wait_for_log("is tried one by one")


def test_the_batch_size_can_be_set_from_outside(serve: Serve) -> None:
    server = serve(BATCHES, env={"SAGEMAKER_MAX_BATCH_SIZE": "2"})
    replies = all_at_once(server, ['"a"'] * 8)
    assert max(max(reply.json[1]) for reply in replies) == 2


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
    replies = all_at_once(server, bodies)
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
    replies = all_at_once(server, ["1"] * 20)
    assert max(reply.json for reply in replies) == 20
    reply = server.request("30")
    assert (reply.status, reply.json["error"]["code"]) == (504, "prediction_timeout")
    assert server.request("0").status == 200
    assert len(server.pids("model_process")) == 1
    assert server.stop() == 0


def test_more_async_requests_than_places_are_all_answered(serve: Serve) -> None:
    server = serve(CONCURRENT)
    replies = all_at_once(server, ["0.6"] * 60)
    assert [reply.status for reply in replies] == [200] * 60
    assert max(reply.json for reply in replies) == 32


def test_blocking_predictors_run_on_threads(serve: Serve) -> None:
    source = (
        CONCURRENT.replace("@predictor", "@predictor(threads=4)")
        .replace("async def", "def")
        .replace("await asyncio.sleep", "time.sleep")
    )
    server = serve(source)
    replies = all_at_once(server, ["0.3"] * 8)
    assert max(reply.json for reply in replies) == 4
    assert server.stop() == 0


def test_prints_and_logging_come_out_line_by_line(serve: Serve) -> None:
    source = ECHO.replace(
        "return data",
        "print('a print'); print('no end', end=''); "
        "import logging; logging.getLogger('mine').warning('a warning'); return data",
    )
    server = serve(source)
    server.request("[1]")
    server.wait_for_log("a warning", 5)
    server.wait_for_log("a print")


def test_an_access_line_tells_status_times_and_id(serve: Serve) -> None:
    server = serve()
    reply = server.request("[1]")
    server.request(method="GET", path="/ping")
    identity = reply.headers["x-request-id"]
    server.wait_for_log(identity, 5)
    lines = [line for line in server.log.splitlines() if "POST /invocations" in line]
    assert len(lines) == 1
    assert re.search(
        rf" INFO POST /invocations 200 queue=\d+\.\d decode=[\d.]+ predict=[\d.]+ encode=[\d.]+ ms "
        rf"id={identity}$",
        lines[0],
    )
    assert "ping" not in server.log.replace("/ping", "", 0).split("serving")[1].split("\n", 1)[1]


def test_access_lines_can_be_json(serve: Serve) -> None:
    server = serve(env={"SAGEMAKER_LOG_FORMAT": "json"})
    identity = server.request("[1]").headers["x-request-id"]
    server.wait_for_log(identity, 5)
    line = next(line for line in server.log.splitlines() if identity in line)
    document = json.loads(line)
    assert (document["status"], document["request_id"]) == (200, identity)
    assert {"queue_ms", "decode_ms", "predict_ms", "encode_ms"} <= document.keys()


def test_the_log_level_leaves_access_lines_out(start: Serve) -> None:
    server = start(env={"SAGEMAKER_CONTAINER_LOG_LEVEL": "30"})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if server.request("[1]").status == 200:
                break
        time.sleep(0.1)
    assert server.stop() == 0
    assert server.log == ""


def test_a_client_that_hangs_up_leaves_no_trace(serve: Serve) -> None:
    import socket

    server = serve(ACCIDENTS)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
            )
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        body = b'{"sleep": 0.5}'
        sock.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        time.sleep(0.2)
    time.sleep(0.6)
    assert server.request('"ok"').status == 200
    assert "Exception" not in server.log


def test_large_bodies_go_both_ways(serve: Serve) -> None:
    source = """
        from sagemaker_inference import model_loader, serve, transformer

        @model_loader
        def load(model_dir):
            return None

        @transformer
        def transform(model, body: memoryview, content_type, accept):
            return body, "application/octet-stream"

        serve(__name__)
    """
    server = serve(source)
    body = os.urandom(1024) * (25 * 1024)
    replies = []
    threads = [
        threading.Thread(
            target=lambda: replies.append(
                server.request(body, {"Content-Type": "application/octet-stream"})
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(reply.status, reply.body == body) for reply in replies] == [(200, True)] * 4


def test_a_body_over_the_limit_is_413(serve: Serve) -> None:
    server = serve(env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    assert server.request("[" + "1," * 400_000 + "1]").status == 200
    assert server.request(b" " * (2 * 1024 * 1024)).status == 413


def test_the_limit_itself_is_served_and_what_is_far_over_is_413(serve: Serve) -> None:
    server = serve(env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    for size in (1 << 20, (1 << 20) + 1, (1 << 20) + 5000):
        assert server.request(b"1" + b" " * (size - 1)).status == 200
    assert server.request(b" " * (1 << 21)).status == 413


UNSENDABLE = """
    from sagemaker_inference import model_loader, serve, transformer

    @model_loader
    def load(model_dir):
        return None

    @transformer
    def transform(model, body: str, content_type, accept, context):
        if body == "name":
            context.response_headers["X A"] = "a"
        if body == "value":
            context.response_headers["X-A"] = "a\\r\\nEvil: 1"
        if body == "fork":
            import os
            os.fork()
        return b"x" * (2 << 20) if body == "size" else body

    serve(__name__)
"""


def test_answers_that_the_front_end_cannot_send_are_honest_failures(serve: Serve) -> None:
    server = serve(UNSENDABLE, env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    for body, words in (("name", "'X A' is no name"), ("size", "SAGEMAKER_MAX_PAYLOAD_IN_MB")):
        reply = server.request(body)
        assert (reply.status, reply.json["error"]["code"]) == (500, "unencodable_prediction")
        assert words in reply.json["error"]["message"]
        server.wait_for_log(f"request {reply.headers['x-request-id']}: the answer cannot be sent")
    reply = server.request("value")
    assert (reply.status, reply.headers["x-a"]) == (200, "a Evil: 1")
    assert "evil" not in reply.headers


def test_a_forked_child_that_comes_back_serves_nobody(serve: Serve) -> None:
    server = serve(UNSENDABLE)
    for _ in range(10):
        assert server.request("fork").body == b"fork"
        assert server.request("plain").body == b"plain"
    deadline = time.monotonic() + 10
    while len(server.pids("model_process")) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cancelled_async_request_is_answered_at_once(serve: Serve) -> None:
    server = serve(
        CONCURRENT.replace("model['now'] += 1", "").replace(
            "await asyncio.sleep(data)", "raise asyncio.CancelledError"
        )
    )
    assert server.request("1", timeout=5).status == 500


def test_forms_come_as_their_fields(serve: Serve) -> None:
    server = serve()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.request("a=1&body=2", form).json == {"a": "1", "body": "2"}
    multipart = {"Content-Type": "multipart/form-data; boundary=xx"}
    part = '--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n'
    reply = server.request(part + "--xx--\r\n", multipart)
    assert (reply.status, reply.json) == (200, {"a": "hello"})
    assert server.request(part[:30], multipart).status == 400
    assert server.request("[1]", path="/invocations?body=9").json == [1]


def test_a_full_queue_is_503_and_nothing_hangs(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    replies = all_at_once(server, ['{"sleep": 0.05}'] * 150)
    statuses = {reply.status for reply in replies}
    assert statuses <= {200, 503}
    assert server.request('"ok"').status == 200


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
    replies = all_at_once(server, ["1"] * 9)
    assert [reply.status for reply in replies] == [200] * 9
    assert len({reply.json[0] for reply in replies}) == 3
    assert {reply.json[1] for reply in replies} == {200 << 20}
    assert max(reply.json[2] for reply in replies) < 60_000
    assert server.request('"kill"').json["error"]["code"] == "process_died"
    replies = all_at_once(server, ["1"] * 9)
    assert len({reply.json[0] for reply in replies}) == 3
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
    workers = {reply.json["pid"] for reply in all_at_once(server, ['{"sleep": 0.2}'] * 6)}
    template = next(pid for pid in server.pids("model_process") if pid not in workers)
    os.kill(template, signal.SIGKILL)
    server.wait_for_log("was killed by SIGKILL")
    assert server.request('"kill"').status == 500
    deadline = time.monotonic() + 10
    while len(server.pids("model_process")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {reply.status for reply in all_at_once(server, ['{"sleep": 0.2}'] * 6)} == {200}
    server.process.kill()
    server.wait_gone(5)
