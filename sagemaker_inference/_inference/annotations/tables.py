"""Annotations for tables, dicts and lists."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import UnprocessableInputError
from sagemaker_inference._inference.annotations.arrays import as_numbers, with_numbers
from sagemaker_inference._inference.annotations.json_bodies import is_json, wraps_instances
from sagemaker_inference._inference.annotations.large import (
    ANYTHING,
    dense,
    kind_of,
    refuse_formats,
    refuse_other_than_tables,
    tabulating,
)
from sagemaker_inference._inference.annotations.orientations import frame_of
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from collections.abc import Container

    from sagemaker_inference._inference.annotations.large import Expected
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

# Bytes of Python objects: a number, its place in a list, the rest of a list, that of a dict, and a
# value of a dict with its key.
_NUMBER, _PLACE, _LIST, _RECORD, _ITEM = 32, 8, 56, 200, 72
# The first and the last that Python keeps.
_SMALL_INTEGERS = -5, 256


def checked(kind: type) -> Convert:
    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        refuse_formats(kind_of(kind), ANYTHING, body, decode)
        if kind not in (dict, list):
            refuse_other_than_tables(body, decode)
        if kind is dict and is_json(content_type):
            data = _json_object(body, content_type, decode)
        else:
            data = decode(body, content_type)
        if kind is list:
            data = plain(data, body)
        elif hasattr(data, "column_names"):
            data = with_numbers(data)
        if not isinstance(data, kind):
            message = f"Expected a {kind.__name__}, but the body is of type {type(data).__name__}."
            raise UnprocessableInputError(message)
        return data

    return convert


def _json_object(body: Body, content_type: str, decode: Decode) -> Any:
    """What a JSON body holds; ``{"instances": ...}`` stays an object."""
    text = _charset.utf8(body, content_type)
    if wraps_instances(text):
        from sagemaker_inference.codecs import json

        return json.loads(text)
    if text.lstrip()[:1] == b"{":
        return decode(body, content_type)
    with _budget.tentative(body):
        return decode(body, content_type)


def as_frame(body: Body, content_type: str, /, decode: Decode) -> Any:
    pandas = sys.modules["pandas"]
    if content_types.parse(content_type).name == content_types.CSV:
        return _csv_frame(body, content_type)
    with tabulating(body, content_type, decode):
        data = decode(body, content_type)
    if hasattr(data, "column_names"):  # an Arrow table
        table = with_numbers(data, has_decimals=False)
        # Other columns have a type, which holds without values, too.
        is_boolean = sys.modules["pyarrow"].types.is_boolean
        flags = [field.name for field in table.schema if is_boolean(field.type)]
        return _with_float_gaps(table.to_pandas(), flags)
    if hasattr(data, "toarray"):  # scipy's sparse classes
        data = as_numbers(data, body)
    try:
        if type(data) is dict:
            return _with_float_gaps(frame_of(data))
        if data is not None:
            return _with_float_gaps(pandas.DataFrame(data))
    except (ValueError, TypeError):
        pass
    message = "The body is not a table; send rows, records or an object of columns."
    raise UnprocessableInputError(message)


def _with_float_gaps(frame: Any, names: Container[Any] | None = None) -> Any:
    """Columns that have no value at all as NaN: they hold numbers in other requests.

    Args:
        frame: the data frame.
        names: those of the columns that may; all by default.
    """
    gaps = [
        name
        for name, column in frame.items()
        if column.dtype == object
        and len(column)
        and (names is None or name in names)
        and column.isna().all()
    ]
    return frame.astype(dict.fromkeys(gaps, "float64")) if gaps else frame


def _csv_frame(body: Body, content_type: str) -> Any:
    """CSV as a data frame; a header row, if there is one, names the columns."""
    from sagemaker_inference.codecs import csv

    names, columns = csv.with_names(body, content_type)
    frame = sys.modules["pandas"].DataFrame(dict(enumerate(columns))).infer_objects()
    if names is not None:
        frame.columns = names
    return frame


def plain(data: Any, body: Body, *, is_copied: bool = False, as_floats: bool = False) -> Any:
    """Decoded data as Python objects, once they are within the budget of the body.

    Args:
        data: the data.
        body: the body.
        is_copied: whether its lists are going to be copied, as a validator does.
        as_floats: whether its integers are going to be copied as floats.

    Raises:
        PayloadTooLargeError: they are not.
    """
    if type(data) is dict:  # of a form, whose parts may be arrays
        return {
            name: _listed(value, body, is_copied=is_copied, as_floats=as_floats)
            for name, value in data.items()
        }
    return _listed(data, body, is_copied=is_copied, as_floats=as_floats)


def plain_within(data: Any, body: Body, expected: Expected) -> Any:
    """The same of data that may not fit, and that a validator copies."""
    with _budget.tentative(body):
        return plain(data, body, is_copied=True, as_floats=expected.has_floats)


def _listed(data: Any, body: Body, *, is_copied: bool, as_floats: bool) -> Any:
    if hasattr(data, "to_pylist"):  # an Arrow table: records
        size = data.num_rows * (_RECORD + _ITEM * data.num_columns)
        _budget.of(body).take(size * (1 + is_copied), "Arrow")
        return data.to_pylist()
    data = dense(data, body)
    if hasattr(data, "tolist"):
        if data.dtype != object:
            lists = _size_of_lists(data.shape) * (1 + is_copied)
            numbers = _NUMBER * _count_numbers(data, as_floats=as_floats)
            _budget.of(body).take(data.nbytes + numbers + lists, "array")
        return data.tolist()
    return data


def _size_of_lists(shape: tuple[int, ...]) -> int:
    """The memory of the nested lists that an array becomes, without what is in them."""
    size, count = 0, 1
    for length in shape:
        # Python's blocks of memory hold an even number of places.
        size += count * (_LIST + _PLACE * (length + length % 2))
        count *= length
    return size


def _count_numbers(array: Any, *, as_floats: bool) -> int:
    """How many objects an array becomes, beside those that Python has one of: small integers."""
    if array.dtype.kind == "b":
        return 0
    if array.dtype.kind not in "iu":
        return int(array.size)
    first, last = _SMALL_INTEGERS
    return int((array < first).sum() + (array > last).sum() + array.size * as_floats)
