"""Annotations for arrays of numbers: numpy, the sparse classes of scipy, torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import codecs
from sagemaker_inference._errors import UnprocessableInputError
from sagemaker_inference._inference.annotations.large import decoding, dense

if TYPE_CHECKING:
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

# Formats of text, whose numbers have no dtype.
_TEXT_FORMATS: Final = ("json", "jsonlines", "csv", "libsvm")


def as_numbers(data: Any, body: Body = b"") -> Any:
    """Convert decoded data to a numpy array of numbers or booleans.

    Args:
        data: what a format decoded.
        body: the body that it was decoded from.

    Raises:
        PayloadTooLargeError: it is sparse, and dense far larger than the body.
        UnprocessableInputError: it contains text, objects or rows of different lengths.
    """
    import numpy as np

    try:
        data = dense(data, body)
        if hasattr(data, "column_names"):  # an Arrow table
            columns = with_numbers(data, has_decimals=False).columns
            array = np.column_stack([column.to_numpy() for column in columns])
        elif type(data) is list and not _are_numbers(data):
            # With text, np.asarray would give every item the size of the longest.
            raise UnprocessableInputError(_not_numbers(data))
        else:
            array = np.asarray(data)
    except (ValueError, TypeError):
        raise UnprocessableInputError(_not_numbers(data)) from None
    if array.dtype.kind == "O" and all(map(_is_number_or_none, array.flat)):
        array = array.astype(np.float64)  # None becomes NaN
    if array.dtype.kind not in "biufc":
        raise UnprocessableInputError(_not_numbers(data))
    return array


def with_numbers(table: Any, *, has_decimals: bool = True) -> Any:
    """An Arrow table whose columns have one type, whether or not a request has values for them.

    A sender without a value for a column writes Arrow's type null, which becomes that of JSON's
    numbers.

    Args:
        table: the table.
        has_decimals: whether decimals stay; they are Python objects in other containers.
    """
    pa = sys.modules["pyarrow"]
    schema = table.schema
    for index, field in enumerate(schema):
        is_decimal = pa.types.is_decimal(field.type) and not has_decimals
        if is_decimal or pa.types.is_null(field.type):
            schema = schema.set(index, field.with_type(pa.float64()))
    return table if schema is table.schema else table.cast(schema)


def as_array(body: Body, content_type: str, /, decode: Decode) -> Any:
    with decoding(body, decode, numbers=True):
        data = decode(body, content_type)
    return as_numbers(data, body)


def as_tensor(
    body: Body,
    content_type: str,
    /,
    decode: Decode,
    *,
    dtype_of_hint: Any = None,
    device: Any = None,
) -> Any:
    array = as_array(body, content_type, decode=decode)
    dtype = array.dtype.name
    torch = sys.modules["torch"]
    try:
        # By name: torch takes only the native byte order, and one of numpy's two types of uint64.
        tensor = torch.from_numpy(array.astype(dtype, order="C"))
    except TypeError:
        message = f"torch does not support dtype {dtype}; send numbers of another dtype."
        raise UnprocessableInputError(message) from None
    # Text does not say how many bits a fraction has, and networks have torch's default.
    is_bare = dtype == "float64" and _is_text(content_type)
    wanted = torch.get_default_dtype() if dtype_of_hint is None and is_bare else dtype_of_hint
    # The dtype first: not every device has float64.
    tensor = tensor if wanted is None else tensor.to(wanted)
    return tensor if device is None else tensor.to(device)


def _is_text(content_type: str) -> bool:
    codec = codecs.for_content_type(content_type)
    return codec is not None and codec.name in _TEXT_FORMATS


def sparse_converter(hint: Any) -> Convert:
    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        with decoding(body, decode, numbers=True):
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


def _are_numbers(values: list[Any]) -> bool:
    """Whether there is nothing but numbers in nested lists, as far as JSON has other values."""
    kinds = set(map(type, values))
    if kinds & {str, dict}:
        return False
    nested = (value for value in values if type(value) is list)
    return list not in kinds or all(map(_are_numbers, nested))


def _is_number_or_none(value: object) -> bool:
    return value is None or type(value) in (int, float, bool)


def _not_numbers(data: Any) -> str:
    """The message for data that is not an array of numbers."""
    kind = type(data).__name__
    if kind not in ("list", "ndarray"):
        return f"Expected an array of numbers, but the body is of type {kind}."
    if getattr(data, "ndim", None) == 0:
        return f"Expected an array of numbers, but the body is of dtype {data.dtype.name}."
    is_array = kind == "ndarray"
    length = None
    first_problem = ""
    for row_number, array in enumerate(data, 1):
        row = array.tolist() if is_array and hasattr(array, "tolist") else array
        count = len(row) if isinstance(row, list) else -1
        length = count if length is None else length
        if count != length:
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
