"""Annotations for arrays of numbers: numpy, the sparse classes of scipy, torch."""

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
    """Convert decoded data to a numpy array of numbers or booleans.

    Args:
        data: what a format decoded.
        body_size: the size of the body in bytes.

    Raises:
        PayloadTooLargeError: it is sparse, and dense far larger than the body.
        UnprocessableInputError: it contains text, objects or rows of different lengths.
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
        raise UnprocessableInputError(_not_numbers(data)) from None
    if array.dtype.kind == "O" and all(map(_is_number_or_none, array.flat)):
        array = array.astype(np.float64)  # None becomes NaN
    if array.dtype.kind not in "biufc":
        raise UnprocessableInputError(_not_numbers(data))
    return array


def as_array(body: Body, content_type: str, /, decode: Decode) -> Any:
    return as_numbers(decode(body, content_type), len(body))


def as_tensor(body: Body, content_type: str, /, decode: Decode) -> Any:
    array = as_array(body, content_type, decode=decode)
    dtype = array.dtype.name
    try:
        # By name: torch takes only the native byte order, and one of numpy's two types of uint64.
        return sys.modules["torch"].from_numpy(array.astype(dtype, order="C"))
    except TypeError:
        message = f"torch does not support dtype {dtype}; send numbers of another dtype."
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
                    "Expected a matrix, but the body is an array of "
                    f"{array.ndim} dimensions and dtype {array.dtype.name}."
                )
                raise UnprocessableInputError(message) from None
        if isinstance(data, hint):
            return data
        # scipy.sparse.sparray is an abstract base: any sparse array will do.
        return sparse.csr_array(data) if hint is sparse.sparray else hint(data)

    return convert


def _is_number_or_none(value: object) -> bool:
    return value is None or type(value) in (int, float, bool)


def _not_numbers(data: Any) -> str:
    """The message for data that is not an array of numbers."""
    kind = type(data).__name__
    if kind not in ("list", "ndarray"):
        return f"Expected an array of numbers, but the body is of type {kind}."
    is_array = kind == "ndarray"
    rows = data.tolist() if is_array else data
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    first_problem = ""
    for row_number, row in enumerate(rows, 1):
        if lengths[row_number - 1] != lengths[0]:
            return f"Expected an array of numbers, but row {row_number} has a different length."
        for column_number, value in enumerate(row if isinstance(row, list) else [row], 1):
            if not isinstance(value, (int, float, complex, list)):
                problem = (
                    f"Expected a number in row {row_number}, column {column_number}, "
                    f"not {type(value).__name__} {value!r:.40}."
                )
                if not (is_array and _is_numeric_text(value)):
                    return problem
                first_problem = first_problem or problem
    return first_problem or (
        "Expected an array of numbers, but the body is nested unevenly, or contains numbers that "
        "are too large or other values."
    )


def _is_numeric_text(value: object) -> bool:
    """Whether it is text only because another cell is: a CSV column has a single type."""
    try:
        float(value if isinstance(value, str) else "text")
    except ValueError:
        return False
    return True
