"""Sessions behind the real front end, with several workers."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.sockets import BIDIRECTIONAL, handshake, refusal
from support.streams import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.models import Models

    from .conftest import Reply, Server

PROGRAM = """
import os, time
from sagemaker_inference import model_loader, predictor, serve, session_end, session_start

@model_loader
def load(model_dir):
    return None

@session_start
def start():
    return {"n": 0}

@predictor
def predict(data, model, context):
    if context.session is None:
        return os.getpid()
    state = context.session.state
    state["n"] += 1
    if data == "close":
        context.session.close()
    if data == "sleep":
        print("asleep")
        time.sleep(30)
    return [os.getpid(), state["n"]]

@session_end
def end(state):
    print("session ended with", state["n"])

serve(__name__)
"""
STREAMS = PROGRAM.replace("return [os", "yield [os").replace(
    "return os.getpid()", "yield os.getpid()\n        return"
)
ID = "X-Amzn-SageMaker-Session-Id"

pytestmark = pytest.mark.java


def ask(server: Server, data: Any, session: str) -> Reply:
    return server.request(json.dumps(data), {ID: session})


def begin(server: Server) -> tuple[str, int]:
    """A new session, and the process that has it."""
    reply = ask(server, 1, "NEW_SESSION")
    value = reply.headers[ID.lower()]
    assert reply.headers["x-amzn-sagemaker-new-session-id"] == value
    return value.partition("; Expires=")[0], json.loads(reply.body)[0]


@pytest.mark.parametrize("source", [PROGRAM, STREAMS], ids=["whole", "stream"])
def test_sessions_keep_to_their_workers_under_load(
    serve: Callable[..., Server], source: str
) -> None:
    server = serve(source, workers=3)

    def play(_index: int) -> int:
        session, pid = begin(server)
        for turn in range(2, 22):
            reply = ask(server, 1, session)
            assert json.loads(reply.body) == [pid, turn]
        closing = ask(server, "close", session)
        assert closing.headers["x-amzn-sagemaker-closed-session-id"] == session
        assert ask(server, 1, session).json["error"]["code"] == "session_not_found"
        return pid

    with ThreadPoolExecutor(8) as pool:
        pids = set(pool.map(play, range(24)))
    assert len(pids) > 1
    server.stop()
    assert server.log.count("session ended with 22") == 24


def test_a_worker_that_dies_takes_its_sessions_along_and_no_others(
    serve: Callable[..., Server],
) -> None:
    server = serve(PROGRAM, workers=2)
    sessions: dict[int, str] = {}
    while len(sessions) < 2:
        with ThreadPoolExecutor(8) as pool:
            begun = pool.map(lambda _index: begin(server), range(8))
            sessions |= {pid: session for session, pid in begun}
    (victim, lost), (other, kept) = sessions.items()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(ask, server, "sleep", lost)
        server.wait_for_log("asleep")
        waiting = pool.submit(ask, server, 1, lost)
        os.kill(victim, signal.SIGKILL)
        assert running.result().json["error"]["code"] == "process_died"
        assert waiting.result().json["error"]["code"] == "session_lost"
    for _ in range(5):
        assert json.loads(ask(server, 1, kept).body)[0] == other
        reply = ask(server, 1, lost)
        assert (reply.status, reply.json["error"]["code"]) == (404, "session_lost")
    assert json.loads(ask(server, 1, begin(server)[0]).body)[1] == 2


def test_a_session_belongs_to_one_of_many_models(
    many: Callable[..., Models],
) -> None:
    models = many()
    for name in ("one", "two"):
        path = models.write(name, PROGRAM.replace("serve(__name__)", ""))
        assert models.load(name, path).status == 200
    replies = {}
    for name in ("one", "two"):
        reply = models.server.request("1", {ID: "NEW_SESSION"}, path=f"/models/{name}/invoke")
        replies[name] = reply.headers[ID.lower()].partition(";")[0]
    for name, expected in (("one", 200), ("two", 404)):
        path = f"/models/{name}/invoke"
        reply = models.server.request("1", {ID: replies["one"]}, path=path)
        assert reply.status == expected
    assert reply.json["error"]["code"] == "session_lost"


SOCKETS = (
    PROGRAM.replace("import model_loader", "import bidirectional, model_loader")
    .replace("def predict", "async def predict")
    .replace(
        "@session_end",
        """
@bidirectional
async def talk(messages, model, context):
    async for message in messages:
        state = context.session.state
        state["n"] += 1
        yield f"{os.getpid()} {state['n']}"

@session_end""",
    )
)


def test_websockets_and_requests_share_a_session(serve: Callable[..., Server]) -> None:
    server = serve(SOCKETS, workers=2)

    def talk(session: str) -> tuple[str, list[int]]:
        url = f"ws://127.0.0.1:{server.port}{BIDIRECTIONAL}"
        with connect(url, compression=None, additional_headers={ID: session}) as connection:
            connection.send("a")
            pid, count = str(connection.recv(timeout=30)).split()
            assert connection.response is not None
            begun = connection.response.headers.get(ID, "")
            assert connection.response.headers.get("x-amzn-sagemaker-new-session-id", "") == begun
            return begun.partition("; Expires=")[0], [int(pid), int(count)]

    session, (pid, count) = talk("NEW_SESSION")
    assert count == 1
    # Either worker may get the request first.
    for turn in range(2, 12, 2):
        assert talk(session) == ("", [pid, turn])
        assert ask(server, 1, session).json == [pid, turn + 1]
    assert ask(server, "close", session).status == 200
    for gone, code in ((session, "session_not_found"), ("a-00000000", "session_lost")):
        head, error = refusal(server.port, handshake(BIDIRECTIONAL, f"{ID}: {gone}"))
        assert head.startswith(b"HTTP/1.1 404 ")
        assert error["code"] == code
    wait_until(lambda: f"GET {BIDIRECTIONAL} 404 " in server.log)
    assert f"POST {BIDIRECTIONAL} " not in server.log
