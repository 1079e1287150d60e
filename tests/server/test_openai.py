"""OpenAI's own client against the real server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ROOT

from sagemaker_inference.testing import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The tox environment that installs openai sets this: there, a skip would hide a mistake.
IS_REQUIRED = os.environ.get("REQUIRE_OPENAI") == "1"
WHY = "openai is not installed: OPENAI'S CLIENT WAS NOT TESTED; tox -e full has it"
pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(importlib.util.find_spec("openai") is None and not IS_REQUIRED, reason=WHY),
]

EXAMPLE = ROOT / "examples" / "streaming"
PROGRAM = """
import os
import time
from sagemaker_inference import model_loader, predictor
from sagemaker_inference.errors import (
    GenericInferenceToolkitError, TooManyRequestsError, UnprocessableInputError
)

@model_loader
def load():
    return None

@predictor("/v1/chat/completions")
def chat(data, model):
    what = data["messages"][-1]["content"]
    if what.isdecimal():
        raise GenericInferenceToolkitError(int(what), "It says so.")
    if what == "die":
        os._exit(1)
    if what == "wait":
        time.sleep(60)
    return words(what) if data.get("stream") or what == "yields" else {"choices": []}

def words(what):
    for index in range(3):
        yield {"choices": [{"index": 0, "delta": {"content": f"{index} "}}]}
        if what == "fails":
            raise UnprocessableInputError("The second word is missing.")

@predictor("/v1/embeddings", max_batch_size=8)
def embed(batch):
    return [
        {"data": [{"index": 0, "embedding": [float(len(data["input"]))]}], "model": data["model"]}
        for data in batch
    ]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    path: Path = tmp_path_factory.mktemp("openai") / "inference.py"
    path.write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "2")
        with ServerProcess(path) as one:
            yield one


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Any]:
    import openai

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as one:
        yield one


def ask(client: Any, what: str, **options: Any) -> Any:
    messages = [{"role": "user", "content": what}]
    return client.chat.completions.create(model="", messages=messages, **options)


def test_a_stream_is_read_to_its_end(client: Any) -> None:
    with ask(client, "go", stream=True) as stream:
        words = [chunk.choices[0].delta.content for chunk in stream]
    assert words == ["0 ", "1 ", "2 "]


def test_a_document_is_read(client: Any) -> None:
    assert ask(client, "go").choices == []
    found = client.embeddings.create(input="four", model="m", encoding_format="float")
    assert (found.data[0].embedding, found.model) == ([4.0], "m")
    assert [model.id for model in client.models.list()] == ["model"]


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        ("400", "BadRequestError", "invalid_request_error"),
        ("401", "AuthenticationError", "authentication_error"),
        ("403", "PermissionDeniedError", "permission_error"),
        ("404", "NotFoundError", "invalid_request_error"),
        ("409", "ConflictError", "invalid_request_error"),
        ("422", "UnprocessableEntityError", "invalid_request_error"),
        ("429", "RateLimitError", "rate_limit_error"),
        ("500", "InternalServerError", "server_error"),
        ("503", "InternalServerError", "server_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_an_exception_of_its_class(
    client: Any, status: str, name: str, kind: str, *, stream: bool
) -> None:
    import openai

    with pytest.raises(getattr(openai, name)) as caught:
        ask(client, status, stream=stream)
    error: Any = caught.value
    assert error.body["message"].startswith("It says so.")
    assert (error.status_code, error.type, error.param) == (int(status), kind, None)
    assert error.code
    assert error.request_id in error.body["message"] or int(status) < 500


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [("die", 500, "process_died"), ("wait", 504, "prediction_timeout")],
)
def test_what_the_server_says_for_a_worker_is_an_exception_too(
    client: Any, what: str, status: int, code: str
) -> None:
    import openai

    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, what)
    assert (caught.value.status_code, caught.value.code) == (status, code)


def test_what_the_front_end_refuses_is_an_exception_too(client: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        client.completions.create(model="", prompt="go")
    assert missing.value.code == "not_found"
    with pytest.raises(openai.APIStatusError) as large:
        ask(client, "x" * (26 << 20))
    assert (large.value.status_code, large.value.code) == (413, "payload_too_large")


def test_a_stream_that_fails_raises_what_it_failed_with(client: Any) -> None:
    import openai

    words = []
    with pytest.raises(openai.APIError) as caught, ask(client, "fails", stream=True) as stream:
        words += [chunk.choices[0].delta.content for chunk in stream]
    assert caught.value.message == "The second word is missing."
    assert caught.value.type == "invalid_request_error"


def test_a_stream_that_was_not_asked_for_is_refused(client: Any) -> None:
    import openai

    with pytest.raises(openai.BadRequestError, match='Send "stream": true'):
        ask(client, "yields")


def test_the_example_chats(tmp_path: Path) -> None:
    with ServerProcess(EXAMPLE / "inference.py", model_dir=EXAMPLE / "model") as server:
        command = [sys.executable, str(EXAMPLE / "client.py"), str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["quick", "fox", "jumps", "over"]
        ] * 2
        refused = server.invoke({"messages": []}, path="/v1/chat/completions")
        assert refused.status_code == 422
        assert refused.json()["error"]["message"] == "messages: expected at least one"
