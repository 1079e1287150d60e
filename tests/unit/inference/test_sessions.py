"""Sessions of an assembled program: how they begin, what they keep, how they end."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import error_of, loaded
from support.session_programs import ID, ask, count, made, new, program, request, run

from sagemaker_inference._http.context import Context
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference import sessions as module
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.sessions import key_of
from sagemaker_inference.errors import BadRequestError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Registry

NEW_ID = "X-Amzn-SageMaker-New-Session-Id"
CLOSED_ID = "X-Amzn-SageMaker-Closed-Session-Id"
# botocore's model of InvokeEndpoint.
PATTERN = re.compile(
    r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*;\sExpires=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while made:
        made.pop().close()


def test_a_session_begins_and_keeps_its_state(registry: Registry) -> None:
    handler = program(registry)
    response = ask(handler, 1, "NEW_SESSION")
    value = response.headers[ID]
    assert response.headers[NEW_ID] == value
    assert PATTERN.match(value)
    assert len(value) <= 256
    session = value.partition(";")[0]
    assert [ask(handler, 1, session).body for _ in range(2)] == [b"2", b"3"]
    assert not ask(handler, 1, session).headers
    assert ask(handler, 1, new(handler)).body == b"2"
    assert ask(handler).body == b"null"


def test_hooks_get_what_they_take(registry: Registry) -> None:
    seen: list[Any] = []

    @registry.session_start
    def start(model: Any, context: Context) -> Any:
        seen.append((model, context.request_id))
        return {"n": 10}

    @registry.session_end
    def end(state: Any, model: Any, context: Context) -> None:
        seen.append((state, model, context.model_name))

    handler = program(registry)
    session = new(handler)
    response = ask(handler, "close", session)
    assert (response.body, response.headers) == (b"12", {CLOSED_ID: session})
    assert seen == [("model", "id-1"), ({"n": 12}, "model", "model")]
    gone = ask(handler, 1, session)
    assert (gone.status, error_of(gone)["code"]) == (404, "session_not_found")


def test_async_hooks_run_in_the_loop_of_the_requests(registry: Registry) -> None:
    seen = []

    @registry.session_start
    async def start() -> Any:
        await asyncio.sleep(0)
        return [1]

    @registry.session_end
    async def end(state: Any) -> None:
        await asyncio.sleep(0)
        seen.append(state)

    handler = program(registry, lambda data, model, context: context.session.state)
    assert ask(handler, 1, new(handler)).body == b"[1]"
    handler.close()
    assert seen == [[1]]


def test_what_is_only_about_a_session_reaches_no_predictor(registry: Registry) -> None:
    handler = program(registry, lambda data: 1 / 0)
    for session in ("", "NEW_SESSION"):
        response = ask(handler, {"requestType": "NEW_SESSION"}, session)
        name = response.headers[ID].partition(";")[0]
        assert json.loads(bytes(response.body)).keys() == {"session_id", "expires"}  # type: ignore[arg-type]
        closing = ask(handler, {"requestType": "CLOSE"}, name)
        assert json.loads(bytes(closing.body)) == {"session_id": name, "closed": True}  # type: ignore[arg-type]
        assert closing.headers == {CLOSED_ID: name}
    assert handler.sessions is not None
    assert len(handler.sessions) == 0


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ({"requestType": "NEW_SESSION", "more": 1}, "application/json"),
        ({"requestType": "CLOSE"}, "application/json"),
        ({"requestType": "NEW_SESSION"}, "text/plain"),
        ({"requestType": "x" * 100}, "application/json"),
        ([], "application/json"),
    ],
)
def test_other_bodies_are_the_programs(registry: Registry, data: Any, content_type: str) -> None:
    handler = program(registry, lambda data, model, context: context.session is None)
    response = ask(handler, data, content_type=content_type)
    assert (response.body, response.headers) == (b"true", {})


def test_a_body_that_is_not_json_is_the_decoders(registry: Registry) -> None:
    bad = Request.from_body(b"{", "application/json", "", {ID: "NEW_SESSION"})
    assert run(program(registry), bad)[0].status == 400


def test_a_first_request_that_fails_begins_nothing(registry: Registry) -> None:
    handler = program(registry)
    response = ask(handler, "fail", "NEW_SESSION")
    assert (response.status, response.headers) == (400, {})
    assert handler.sessions is not None
    assert len(handler.sessions) == 0


def test_a_start_that_fails_begins_nothing(registry: Registry) -> None:
    @registry.session_start
    def start() -> None:
        raise BadRequestError("Say who you are.")

    handler = program(registry)
    response = ask(handler, 1, "NEW_SESSION")
    assert (response.status, error_of(response)["message"]) == (400, "Say who you are.")
    assert handler.sessions is not None
    assert len(handler.sessions) == 0


def test_an_unknown_session_is_not_found_and_one_of_another_worker_is_lost(
    registry: Registry,
) -> None:
    handler = program(registry)
    session = new(handler)
    assert handler.sessions is not None
    for unknown in ("abc", "x-" + handler.sessions.key):
        assert error_of(ask(handler, 1, unknown))["code"] == "session_not_found"
    lost = ask(handler, 1, session[:-8] + "00000000")
    assert (lost.status, error_of(lost)["code"]) == (404, "session_lost")
    assert [key_of(name) for name in ("", "a", "a-0123456", "a-0123456g")] == [""] * 4
    assert key_of(session) == handler.sessions.key


def test_a_session_that_is_not_used_expires(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    @registry.session_end
    def end(state: Any) -> None:
        ended.append(state)
        raise ValueError

    monkeypatch.setenv("SAGEMAKER_SESSIONS_EXPIRATION", "100")
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    handler = program(registry)
    first, second = new(handler), new(handler)
    now[0] += 90
    assert ask(handler, 1, first).body == b"2"
    now[0] += 50
    assert ask(handler, 1, first).body == b"3"
    assert ended == [{"n": 1}]
    assert "session_end failed" in caplog.text
    assert error_of(ask(handler, 1, second))["code"] == "session_not_found"
    now[0] += 101
    assert handler.sessions is not None
    assert handler.sessions.has_overdue
    run_without_loop(handler.sessions.end_overdue())
    assert ended == [{"n": 1}, {"n": 3}]


def test_there_are_so_many_sessions_and_no_more(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_SESSIONS", "2")
    handler = program(registry)
    first, _ = new(handler), new(handler)
    refused = ask(handler, 1, "NEW_SESSION")
    assert (refused.status, error_of(refused)["code"]) == (507, "too_many_sessions")
    assert "SAGEMAKER_MAX_SESSIONS" in error_of(refused)["message"]
    ask(handler, "close", first)
    new(handler)


def test_a_variable_turns_sessions_on_for_any_program(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_ENABLE_STATEFUL_SESSIONS", "true")
    registry.model_loader(lambda: None)
    registry.predictor(count)
    handler = loaded(registry)
    assert ask(handler, 1, new(handler)).body == b"2"


def test_without_sessions_the_header_changes_nothing(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(count)
    handler = loaded(registry)
    response = ask(handler, 1, "NEW_SESSION")
    assert (response.body, response.headers) == (b"null", {})
    assert handler.sessions is None
    assert "answer" not in vars(handler)


def test_a_batch_has_one_request_of_a_session(registry: Registry) -> None:
    seen = []

    def predict(batch: list[Any], model: Any, contexts: list[Context]) -> list[Any]:
        seen.append(batch)
        return [count(*each) for each in zip(batch, [model] * len(batch), contexts, strict=True)]

    handler = program(registry, predict, max_batch_size=8)
    first, second = new(handler, 0), new(handler, 0)
    seen.clear()
    asked = [
        request(1, first),
        request(2, second),
        request(3, first),
        request(4),
    ]
    asked += [request(5, first), request(6, "unknown")]
    responses = run(handler, *asked)
    assert [response.body for response in responses[:5]] == [b"2", b"2", b"3", b"null", b"4"]
    assert responses[5].status == 404
    assert seen == [[1, 2, 4], [3], [5]]


def test_a_stream_uses_its_session_to_the_end(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Any] = []
    registry.session_end(ended.append)

    def predict(data: Any, model: Any, context: Context) -> Iterator[Any]:
        context.session.close()
        yield context.session.id
        ended.append("streamed")
        yield context.session.state

    handler = program(registry, predict)
    responses = run_without_loop(handler.answer([request(1, "NEW_SESSION")]))
    stream: Any = responses[0].body
    assert responses[0].headers.keys() == {ID, NEW_ID, CLOSED_ID}
    assert b"".join(stream).endswith(b"{}\n")
    assert handler.sessions is not None
    run_without_loop(handler.sessions.end_overdue())
    assert ended == ["streamed", {}]
    # One that is in use does not expire, and one that is dropped is no longer in use.
    [response] = run_without_loop(handler.answer([request(1, "NEW_SESSION")]))
    later = module.monotonic() + 10_000
    monkeypatch.setattr(module, "monotonic", lambda: later)
    run_without_loop(handler.sessions.end_overdue())
    assert len(handler.sessions) == 1
    response.body.close()  # type: ignore[union-attr]
    run_without_loop(handler.sessions.end_overdue())
    assert len(handler.sessions) == 0


def test_a_session_that_closes_takes_no_further_request(registry: Registry) -> None:
    gate = asyncio.Event()

    async def predict(data: Any, model: Any, context: Context) -> Any:
        if data == "close":
            context.session.close()
            gate.set()
        else:
            await gate.wait()
        return context.session.id

    handler = program(registry, predict)

    async def use() -> None:
        gate.set()
        [begun] = await handler.answer([request(1, "NEW_SESSION")])
        session = begun.headers[ID].partition(";")[0]
        gate.clear()
        waiting = asyncio.ensure_future(handler.answer([request(1, session)]))
        await asyncio.sleep(0)
        [closing] = await handler.answer([request("close", session)])
        assert closing.headers == {CLOSED_ID: session}
        [refused] = await handler.answer([request(1, session)])
        assert refused.status == 404
        [last] = await waiting
        assert last.headers == {CLOSED_ID: session}

    handler.run(use())


@pytest.mark.parametrize("where", ["start", "predict"])
def test_a_request_that_is_cancelled_leaves_its_session(registry: Registry, where: str) -> None:
    async def sleep(place: str) -> None:
        await asyncio.sleep(100 if place == where else 0)

    @registry.session_start
    async def start() -> None:
        await sleep("start")

    async def predict(data: Any, model: Any, context: Context) -> None:
        await sleep("predict")

    handler = program(registry, predict)

    async def cancel() -> None:
        asked = [request(1, "unknown"), request(1, "NEW_SESSION")]
        task = asyncio.ensure_future(handler.answer(asked))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    handler.run(cancel())
    assert handler.sessions is not None
    assert len(handler.sessions) == 0


def test_an_end_that_is_cancelled_is_no_failure(registry: Registry) -> None:
    @registry.session_end
    async def end(state: Any) -> None:
        await asyncio.sleep(100)

    handler = program(registry)

    async def cancel() -> None:
        task = asyncio.ensure_future(handler.answer([request("close", "NEW_SESSION")]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    handler.run(cancel())


def test_who_could_not_hand_a_request_over_says_why(registry: Registry) -> None:
    asked = request()
    asked.session = ServiceUnavailableError("busy")
    [response] = run(program(registry), asked)
    assert (response.status, error_of(response)["message"]) == (503, "busy")


def test_a_session_says_what_it_is(registry: Registry) -> None:
    handler = program(registry, lambda data, model, context: repr(context.session))
    body = bytes(ask(handler, 1, "NEW_SESSION").body).decode()  # type: ignore[arg-type]
    assert re.match(r'"Session\(\'[-0-9a-f]+\', expires=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)"', body)


def test_what_a_program_calls_a_session_of_its_own_is_kept(registry: Registry) -> None:
    @registry.model_loader
    def load(context: Context) -> None:
        context.session = "mine"

    registry.predictor(lambda data, model, context: context.session)
    handler = loaded(registry)
    assert ask(handler).body == b'"mine"'
    context = Context()
    assert context.session is None
    context.session = 1
    assert context.session == 1


def test_streams_of_async_programs_use_their_session_to_the_end(registry: Registry) -> None:
    async def predict(data: Any, model: Any, context: Context) -> AsyncIterator[Any]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    handler = program(registry, predict)

    async def use() -> None:
        for way in ("read", "close"):
            [response] = await handler.answer([request(1, "NEW_SESSION")])
            stream: Any = response.body
            if way == "read":
                assert [chunk async for chunk in stream] == [b"1\n", b"2\n"]
            else:
                await stream.aclose()
        assert handler.sessions is not None
        assert not any(session.uses for session in handler.sessions._open.values())

    handler.run(use())


def test_a_session_goes_on_on_all_paths(registry: Registry) -> None:
    registry.predictor("/turn")(count)
    registry.predictor("/v1/chat/completions")(count)
    ended: list[Any] = []
    registry.session_end(ended.append)
    handler = program(registry)
    session = new(handler)
    assert ask(handler, session=session, path="/turn").body == b"2"
    both = [request(1, session, path=path) for path in ("/v1/chat/completions", "/invocations")]
    assert [response.body for response in run(handler, *both)] == [b"3", b"4"]
    begun = ask(handler, session="NEW_SESSION", path="/turn")
    other = begun.headers[ID].partition(";")[0]
    assert ask(handler, "close", other).headers[CLOSED_ID] == other
    assert ended == [{"n": 2}]
    refused = ask(handler, session="unknown", path="/v1/chat/completions")
    assert refused.status == 404
    assert json.loads(refused.body)["error"]["type"] == "invalid_request_error"
    assert ask(handler, session=session, path="/none").status == 404
    handler.close()
    assert ended == [{"n": 2}, {"n": 4}]


def test_an_async_hook_of_a_program_with_paths_runs_in_its_loop(registry: Registry) -> None:
    loops: list[Any] = []

    @registry.session_start
    async def start() -> None:
        loops.append(asyncio.get_running_loop())

    registry.predictor("/turn")(count)
    handler = program(registry)
    assert handler.concurrency.is_async
    assert ask(handler, session=new(handler), path="/turn").body == b"2"
    assert len(loops) == 1
