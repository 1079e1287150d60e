"""Comments in event streams of the ASGI application that are quiet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from support.asgi_server import Call, ask, run, until
from support.asgi_streams import EVENTS, KINDS, Items, bodies

from sagemaker_inference._config import Config
from sagemaker_inference.asgi._heartbeat import COMMENT, Heartbeat

if TYPE_CHECKING:
    from sagemaker_inference import Registry


@pytest.mark.parametrize("kind", KINDS)
def test_events_that_are_quiet_get_comments_where_that_is_set(
    registry: Registry, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_HEARTBEAT", "1")
    items = Items(registry, kind)
    items.may_go_on.release()

    async def test() -> None:
        headers = [(b"accept", EVENTS.encode())]
        call = Call(items.application, "POST", "/invocations", headers=headers).body(b"2")
        await until(lambda: COMMENT in bodies(call))
        items.may_go_on.release()
        assert await call.status() == 200
        assert [body for body in bodies(call) if body != COMMENT] == [
            b"data: 0\n\n",
            b"data: 1\n\n",
            b"",
        ]

    run(test)


def test_comments_leave_the_limits_of_a_stream_as_they_are(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_HEARTBEAT", "1")
    monkeypatch.setenv("SAGEMAKER_STREAM_IDLE_TIMEOUT", "2")
    items = Items(registry, "async")
    items.may_go_on.release()

    async def test() -> None:
        headers = [(b"accept", EVENTS.encode())]
        call = await ask(items.application, "POST", "/invocations", b"9", headers=headers)
        item, *comments, error = bodies(call)
        assert item == b"data: 0\n\n"
        assert comments
        assert set(comments) == {COMMENT}
        assert b"No item within 2 s" in error

    run(test)


def test_a_client_that_leaves_between_two_comments_ends_the_program(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_HEARTBEAT", "1")
    items = Items(registry, "async")
    items.may_go_on.release()

    async def test() -> None:
        headers = [(b"accept", EVENTS.encode())]
        call = Call(items.application, "POST", "/invocations", headers=headers).body(b"9")
        await until(lambda: COMMENT in bodies(call))
        call.hang_up()
        await until(items.is_closed.is_set)
        await call.task
        page = (await ask(items.application, "GET", "/metrics")).text
        assert 'requests_total{path="/invocations",status="499"} 1' in page

    run(test)


def test_comments_stand_between_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_HEARTBEAT", "20")
    config = Config.from_environment()
    heartbeat = Heartbeat(f"{EVENTS}; charset=utf-8", config)
    assert heartbeat.patience == math.inf  # there is no event yet
    for piece, is_whole in (
        (b"data: 1\n", False),
        (b"\n", True),
        (b"data: 2\r\n", False),
        (b"\r\n", True),
        (b"data: 3\n\n", True),
        (b"", True),
        (b"data", False),
    ):
        heartbeat.note(piece)
        assert heartbeat.patience == (20 if is_whole else math.inf), piece


@pytest.mark.parametrize(("seconds", "kind"), [("20", "application/jsonlines"), ("0", EVENTS)])
def test_other_streams_get_no_comments(
    seconds: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_HEARTBEAT", seconds)
    heartbeat = Heartbeat(kind, Config.from_environment())
    heartbeat.note(b"data: 1\n\n")
    assert heartbeat.patience == math.inf
