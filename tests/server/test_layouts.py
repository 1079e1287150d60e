"""Programs where SageMaker's SDK puts them, over the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

START = "from sagemaker_inference import model_server\nmodel_server.start_model_server()\n"
HANDLER = """
import json

async def events(count):
    for number in range(count):
        yield f"data: {number}\\n\\n"

async def handler(request):
    if request.headers.get("accept") == "text/event-stream":
        return events(json.loads(request.body))
    return {"body": request.body.decode()}
"""


def started(start: Serve, folder: Path, **variables: str) -> Server:
    env = {"SAGEMAKER_BASE_DIR": str(folder / "ml"), **variables}
    return start(START, name="entry.py", arguments=("entry.py",), env=env).wait_ready()


def test_a_handler_of_sagemaker_distribution_answers_and_streams(
    start: Serve, tmp_path: Path
) -> None:
    code = tmp_path / "ml" / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(HANDLER)
    server = started(
        start,
        tmp_path,
        SAGEMAKER_INFERENCE_CODE="inference.handler",
        SAGEMAKER_INFERENCE_CODE_DIRECTORY=str(code),
        SAGEMAKER_REGION="us-east-1",
        LOCAL_PYTHON="3.12.1",
    )
    reply = server.request("[1]")
    assert (reply.status, reply.json) == (200, {"body": "[1]"})
    reply = server.request("2", {"Accept": "text/event-stream"})
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.body == b"data: 0\n\ndata: 1\n\n"
    assert server.stop() == 0


def test_a_program_is_served_from_the_submitted_folder_with_its_packages(
    start: Serve, tmp_path: Path
) -> None:
    (tmp_path / "ml" / "model").mkdir(parents=True)
    submitted = tmp_path / "ml" / "code"
    (submitted / "wheels").mkdir(parents=True)
    (submitted / "requirements.txt").write_text("# nothing, but it is looked at\n")
    (submitted / "inference.py").write_text(
        "def model_fn(model_dir): return 2\ndef predict_fn(data, model): return data * model\n"
    )
    server = started(start, tmp_path, SAGEMAKER_SUBMIT_DIRECTORY=str(submitted))
    assert server.request("[1, 2]").json == [2, 4]
    assert f"installing the packages of {submitted}/requirements.txt" in server.log
    assert server.stop() == 0
