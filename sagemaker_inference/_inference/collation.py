"""A predictor's call for several requests, and whose part of the result is whose."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sagemaker_inference._errors import PredictionError, UnprocessableInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Context
    from sagemaker_inference._program.registry import Collate
    from sagemaker_inference._program.signatures import Handler


def call(
    predictor: Handler,
    inputs: list[Any],
    model: Any,
    contexts: list[Context],
    *,
    collate: Collate,
) -> Sequence[Any]:
    """Predict for all inputs at once; one prediction per input, in order.

    Raises:
        PredictionError: the predictor returned another number of predictions or rows than it got.
        UnprocessableInputError: one of the inputs has no rows to stack.
    """
    if collate == "list":
        predictions = predictor.call(inputs, model, contexts)
        count = _length(predictions)
        if count != len(inputs):
            raise PredictionError(_mismatch(predictor, "predictions", count, len(inputs)))
        return [predictions[index] for index in range(len(inputs))]
    rows = [_rows(item) for item in inputs]
    if min(rows) < 0:
        message = "Rows are wanted, and the body is a single value."
        raise UnprocessableInputError(message)
    prediction = predictor.call(concatenate(inputs), model, contexts)
    if _rows(prediction) != sum(rows):
        raise PredictionError(_mismatch(predictor, "rows", _rows(prediction), sum(rows)))
    return split(prediction, rows)


def concatenate(inputs: Sequence[Any]) -> Any:
    """Stack inputs along axis 0: arrays, scipy sparse matrices, pandas objects or torch tensors.

    The library is the one the first input comes from; it is imported by then.
    """
    first = inputs[0]
    if len(inputs) == 1:
        return first
    if _is(first, "pandas", "DataFrame") or _is(first, "pandas", "Series"):
        return sys.modules["pandas"].concat(list(inputs))
    if _is(first, "torch", "Tensor"):
        return sys.modules["torch"].cat(list(inputs))
    if _is_sparse(first):
        return sys.modules["scipy.sparse"].vstack(list(inputs), format=first.format)
    import numpy as np

    return np.concatenate([np.asarray(item) for item in inputs])


def split(prediction: Any, rows: Sequence[int]) -> list[Any]:
    """Cut a prediction along axis 0 into parts of so many rows."""
    by_place = getattr(prediction, "iloc", prediction)
    parts, start = [], 0
    for count in rows:
        parts.append(by_place[start : start + count])
        start += count
    return parts


def _rows(value: Any) -> int:
    shape = getattr(value, "shape", None)
    return int(shape[0]) if shape else _length(value)


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return -1


def _is(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is an instance of a class of a library that may not be imported."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def _is_sparse(value: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def _mismatch(predictor: Handler, what: str, got: int, wanted: int) -> str:
    count = "none" if got < 0 else str(got)
    return f"{predictor.role.name} returned {count} {what} for {wanted}"
