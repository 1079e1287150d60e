"""Annotations that ask for arrays of numbers: numpy, scipy's sparse classes, torch."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import UnprocessableInputError

if TYPE_CHECKING:
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body


def as_numbers(data: Any, body_size: int = 0) -> Any:
    """An array of numbers or booleans.

    Args:
        data: what a format gave.
        body_size: the bytes it was read from.

    Raises:
        PayloadTooLargeError: it is sparse, and far larger than what was sent.
        UnprocessableInputError: it has text, objects or rows of different lengths in it.
    """
    import numpy as np

    try:
        if hasattr(data, "toarray"):  # scipy's sparse classes
            size = math.prod(data.shape) * data.dtype.itemsize
            check_unpacked(size, body_size, "sparse")
            array = data.toarray()
        elif hasattr(data, "column_names"):  # an Arrow table
            array = np.column_stack([column.to_numpy() for column in data.columns])
        else:
            array = np.asarray(data)
    except (ValueError, TypeError):
        raise UnprocessableInputError(_no_numbers(data)) from None
    if array.dtype.kind not in "biufc":
        raise UnprocessableInputError(_no_numbers(data))
    return array


def as_array(body: Body, content_type: str, /, decode: Decode) -> Any:
    return as_numbers(decode(body, content_type), len(body))


def as_tensor(body: Body, content_type: str, /, decode: Decode) -> Any:
    array = as_array(body, content_type, decode=decode)
    kind = array.dtype.name
    try:
        # By name: torch takes no other byte order, and only one of numpy's two uint64.
        return sys.modules["torch"].from_numpy(array.astype(kind, order="C"))
    except TypeError:
        message = f"torch has no tensors of {kind}; send other numbers."
        raise UnprocessableInputError(message) from None


def sparse_converter(hint: Any) -> Convert:
    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        data = decode(body, content_type)
        sparse = sys.modules["scipy.sparse"]
        if not sparse.issparse(data):
            array = as_numbers(data)
            try:
                data = sparse.csr_matrix(array)
            except (ValueError, TypeError, NotImplementedError):
                message = (
                    "A matrix is wanted, and the body is an array of "
                    f"{array.ndim} dimensions and dtype {array.dtype.name}."
                )
                raise UnprocessableInputError(message) from None
        if isinstance(data, hint):
            return data
        # The abstract bases stand for any of their classes.
        return sparse.csr_array(data) if hint is sparse.sparray else hint(data)

    return convert


def _no_numbers(data: Any) -> str:
    kind = type(data).__name__
    if kind not in ("list", "ndarray"):
        return f"An array of numbers is wanted, and the body is of type {kind}."
    is_table = kind == "ndarray"
    rows = data.tolist() if is_table else data
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    found = ""
    for index, row in enumerate(rows):
        if lengths[index] != lengths[0]:
            return f"An array of numbers is wanted, and row {index + 1} is of another length."
        for place, value in enumerate(row if isinstance(row, list) else [row]):
            if not isinstance(value, (int, float, complex, list)):
                where = f"row {index + 1}, column {place + 1}"
                told = f"A number is wanted in {where}, not {type(value).__name__} {value!r:.40}."
                if not (is_table and _reads_as_number(value)):
                    return told
                found = found or told
    if found:
        return found
    return (
        "An array of numbers is wanted; the body is nested unevenly, or has numbers too large, or "
        "other values inside."
    )


def _reads_as_number(value: object) -> bool:
    """Whether it is text only because CSV has one kind for a column, and another cell is text."""
    try:
        float(value if isinstance(value, str) else "text")
    except ValueError:
        return False
    return True
