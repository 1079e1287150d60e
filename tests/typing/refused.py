"""What type checkers must refuse; checked by mypy and pyright, never run.

Each error is expected where it is ignored: both checkers are told to complain of an ignore that
ignores nothing.
"""

from __future__ import annotations

from sagemaker_inference import (
    Registry,
    decoder,
    encoder,
    model_loader,
    predictor,
    serve,
    transformer,
)


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def four_arguments(data: object, model: object, context: object, threshold: float) -> None: ...


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def no_arguments() -> None: ...


@predictor(max_batch_size=2)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def four_arguments_in_a_batch(a: object, b: object, c: object, d: object) -> None: ...


@decoder("text/csv")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def reads_too_much(body: bytes, content_type: str, context: object, more: int) -> None: ...


@encoder("text/csv")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def writes_nothing() -> None: ...


@model_loader  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def loads_too_much(model_dir: str, context: object, more: int) -> None: ...


@transformer  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def transforms_too_little(model: object) -> None: ...


@decoder  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def decoder_without_parentheses(body: bytes) -> None: ...


@predictor  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def unknown_keyword(data: object, *, threshold: float) -> None: ...


predictor(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Registry().predictor(batch=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Registry().predictor(collate="stack")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
serve(__name__, port="8080")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
