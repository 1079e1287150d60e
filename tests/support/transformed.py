"""Jobs of `transform` with a program that the test answers for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from sagemaker_inference.__main__ import main
from sagemaker_inference.testing import Client, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAM = """
import os
from sagemaker_inference import model_loader, predictor
from sagemaker_inference.errors import UnprocessableInputError

@model_loader
def load(model_dir):
    return os.environ["SAGEMAKER_BATCH"]

@predictor
def predict(data, model):
    assert model == "true"
    if isinstance(data, list):
        return data
    if data.min() < 0:
        raise UnprocessableInputError("Send no\\\\nnegative number.")
    return data.sum(axis=-1, keepdims=True)
"""
CSV = ("--content-type", "text/csv", "--accept", "text/csv", "--split", "Line")
LINES = ("--content-type", "application/jsonlines", "--split", "Line")


class Sent(Client):
    """A program that answers as it is told, and keeps what it has been sent."""

    def __init__(self, *answers: Reply | OSError, parameters: dict[str, Any] | None = None) -> None:
        self.answers = list(answers)
        self.parameters = parameters
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if path == "/execution-parameters":
            assert method == "GET"
            status = 404 if self.parameters is None else 200
            return Reply(status, [], json.dumps(self.parameters).encode())
        self.bodies.append(body)
        self.headers.append(dict(headers or {}))
        if not self.answers:
            return Reply(200, [("Content-Type", "text/csv")], b"%d" % len(body))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def replied(status: int, body: bytes, content_type: str = "text/csv", **headers: str) -> Reply:
    return Reply(status, [("Content-Type", content_type), *headers.items()], body)


def run(tmp_path: Path, data: bytes, *options: str) -> tuple[int, bytes | None]:
    """The exit code of a job, and its output."""
    (tmp_path / "in").write_bytes(data)
    words = [str(tmp_path / name) for name in ("inference.py", "in", "out")]
    code = main(["transform", *words, *options])
    out = tmp_path / "out"
    assert sorted(path.name for path in tmp_path.glob("*unfinished*")) == []
    return code, out.read_bytes() if out.exists() else None
