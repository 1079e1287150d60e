"""What type checkers must refuse; checked by mypy and pyright, never run.

Each error is expected where it is ignored: both checkers are told to complain of an ignore that
ignores nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference import (
    Registry,
    decoder,
    encoder,
    model_loader,
    predictor,
    serve,
    transformer,
)

if TYPE_CHECKING:
    from sagemaker_inference.testing import TestClient


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
def four_arguments(data: object, model: object, context: object, threshold: float) -> None: ...


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
def no_arguments() -> None: ...


@predictor(max_batch_size=2)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def four_arguments_in_a_batch(a: object, b: object, c: object, d: object) -> None: ...


@decoder("text/csv")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def reads_too_much(body: bytes, content_type: str, context: object, more: int) -> None: ...


@encoder("text/csv")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def writes_nothing() -> None: ...


@model_loader  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def loads_too_much(model_dir: str, context: object, more: int) -> None: ...


@transformer  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
def transforms_too_little(model: object) -> None: ...


@decoder  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def decoder_without_parentheses(body: bytes) -> None: ...


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
def unknown_keyword(data: object, *, threshold: float) -> None: ...


transformer("/text", "/more")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
predictor(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
Registry().predictor(batch=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Registry().predictor(collate="stack")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
serve(__name__, port="8080")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def is_not_entered(client: TestClient) -> None:
    """A stream is opened by ``with``."""
    b"".join(client.stream([1]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
