"""Stack the inputs of several requests into one, and split the prediction again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def concatenate(inputs: Sequence[Any]) -> Any:
    """Stack inputs along axis 0: arrays, scipy sparse matrices, pandas objects or torch tensors.

    The type of the first input decides; its library is already imported.
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


def joined(predictions: Sequence[Any]) -> Any:
    """The predictions for several pieces of a batch as one; lists stay lists."""
    first = predictions[0]
    if len(predictions) == 1:
        return first
    if isinstance(first, (list, tuple)):
        return [row for prediction in predictions for row in prediction]
    return concatenate(predictions)


def split(prediction: Any, rows: Sequence[int]) -> list[Any]:
    """Split a prediction along axis 0 into parts with these numbers of rows."""
    by_position = getattr(prediction, "iloc", prediction)
    parts, start = [], 0
    for count in rows:
        parts.append(by_position[start : start + count])
        start += count
    return parts


def row_count(value: Any) -> int:
    """The number of rows of a value along axis 0; -1 for a single value."""
    shape = getattr(value, "shape", None)
    return int(shape[0]) if shape else length(value)


def length(value: Any) -> int:
    """The number of items of a value; -1 if it has no length."""
    try:
        return len(value)
    except TypeError:
        return -1


def _is(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is an instance of a class whose library may not be imported."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def _is_sparse(value: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))
