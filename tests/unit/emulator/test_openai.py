"""The route for clients of OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx
import pytest
from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.emulated import Asked, Emulated

CHAT = "/endpoints/demo/openai/v1/chat/completions"


def post(emulator: Emulated, path: str = CHAT, **headers: str) -> httpx.Response:
    body = b'{"model": "", "messages": []}'
    sent = {"Content-Type": "application/json", "Authorization": "Bearer x", **headers}
    return httpx.post(f"{emulator.url}{path}", content=body, headers=sent, timeout=30)


@pytest.mark.rule("openai-path")
@pytest.mark.parametrize(
    "path", [CHAT, "/endpoints/demo/inference-components/one/openai/v1/chat/completions"]
)
def test_the_container_gets_the_path_of_openai(emulator: Emulated, path: str) -> None:
    answer = post(emulator, path)
    assert answer.json() == {"model": "", "messages": []}
    (asked,) = emulator.container.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.names == {"accept", "content-type"}


@pytest.mark.parametrize("path", ["%00", "a%3Fb%23c", "%C3%A9"])
def test_a_path_passes_as_it_is(emulator: Emulated, path: str) -> None:
    assert post(emulator, f"/endpoints/demo/openai/v1/{path}").status_code == 200
    (asked,) = emulator.container.asked
    assert (unquote(asked.path), asked.query) == (f"/v1/{unquote(path)}", "")


@pytest.mark.rule("openai-as-is")
def test_answers_pass_as_they_are(emulator: Emulated) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: [DONE]\n\n"

    async def answer(_: Asked) -> Response:
        return StreamingResponse(events(), 200, {"X-Mine": "1"}, "text/event-stream")

    emulator.container.answer = answer
    reply = post(emulator)
    assert reply.text == "data: 1\n\ndata: [DONE]\n\n"
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "x-mine" not in reply.headers


@pytest.mark.rule("openai-routed")
def test_other_paths_pass_with_a_warning(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    assert post(emulator, "/endpoints/demo/openai/v1/embeddings").status_code == 200
    assert emulator.container.asked[0].path == "/v1/embeddings"
    assert "pass on chat/completions alone, not embeddings" in caplog.text


@pytest.mark.rule("openai-errors")
def test_the_containers_error_is_quoted_in_one_of_openai(emulator: Emulated) -> None:
    async def answer(_: Asked) -> Response:
        return Response("no messages", 400)

    emulator.container.answer = answer
    reply = post(emulator)
    assert reply.status_code == 424
    error = reply.json()["error"]
    assert error["message"].startswith(
        'Received client error (400) from primary with message "no messages". See https://'
    )
    assert (error["type"], error["code"]) == ("server_error", "model_error")


@pytest.mark.rule("openai-component")
def test_an_inference_component_is_named_in_the_path(emulator: Emulated) -> None:
    reply = post(emulator, **{"X-Amzn-SageMaker-Inference-Component": "one"})
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "ValidationError"
    assert emulator.container.asked == []
