"""What `check` is tested with: files that are right, and a server that answers as it is told."""

from __future__ import annotations

from typing import Any

PROGRAM = """
import numpy as np
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return 2

@predictor
def predict(data: np.ndarray, model):
    return data * model

serve(__name__)
"""
DOCKERFILE = """
FROM base AS build
USER nobody
FROM python:3.12-slim
RUN pip install "sagemaker-inference[java]" && sagemaker-inference prepare
# A comment.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
COPY . /opt/program
ENTRYPOINT ["python", "/opt/program/inference.py"]
"""
GOOD = {
    "inference.py": PROGRAM,
    "Dockerfile": DOCKERFILE,
    "requirements.txt": "# What it needs.\npandas>=2,<3  # tables\n-r more.txt\n"
    "./a-1-py3-none-any.whl\nx @ https://example.com/x-1-py3-none-any.whl\n"
    "scipy >=1.12 \\\n  ,<2\n",
    "more.txt": "",
    "a-1-py3-none-any.whl": "",
}
SAMPLES = {**GOOD, "request.json": "[1]", "request.unknown": "x", "request": "x"}


class Answers:
    """A server that answers as it is told; what is not named is answered as it should be."""

    def __init__(self) -> None:
        self.changes: dict[str, tuple[int, str, bytes]] = {}
        self.code = 0
        self.model_dir: str | None = None

    def answer(self, method: str, path: str, headers: Any, size: int) -> tuple[int, str, bytes]:
        content_type = headers.get("Content-Type", "")
        name = path
        if path == "/invocations":
            name = "unknown" if "no-such" in content_type else "sample"
            name = "large" if size > 1000 else "half" if size == 9 else name
        usual = {
            "/ping": (200, "", b""),
            "/metrics": (200, "text/plain", b""),
            "/execution-parameters": (200, "application/json", b"{}"),
            "unknown": (415, "application/json", b"{}"),
            "large": (415, "application/json", b"{}"),
            "half": (400, "application/json", b"{}"),
            "sample": (200, "application/json", b"[2]"),
        }
        return self.changes.get(name) or usual.get(name, (404, "", b""))


def found(document: dict[str, Any]) -> set[str]:
    return {one["rule"] for one in document["findings"]}
