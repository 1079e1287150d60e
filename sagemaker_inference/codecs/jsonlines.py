"""JSON Lines (jsonlines.org): one JSON value per line, as batch transform sends records.

`decode` returns the same as `codecs.json` for a list of the lines' values: an array of shape
(lines, ...) for rows of numbers and (lines,) for single numbers, otherwise a list with one Python
object for each line. Lines end with LF or CRLF, and blank lines are skipped. `{"instances": ...}`
is not unwrapped, since each line is a record.

`encode` writes one line for each item of the prediction's first dimension, NaN and infinities as
null. A dict or another Mapping, a dataclass, a pydantic model, a msgspec.Struct, a text or a single
number is one line.
"""

from __future__ import annotations

import re
from collections import deque
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, _json_size, _json_writer, _numbers, _objects, json
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "JSON Lines"
_ROWS: Final = 2
_PIECE: Final = 1 << 20
_LINE: Final = 64
_BRACKETS: Final = re.compile(rb"\[+")
_is_filled: Final[Callable[[bytes], bytes]] = methodcaller("strip")
_BLANK_LINES: Final = re.compile(rb"\n[ \t\n]*\n")


def decode(body: Body | str, content_type: str = "") -> Any:
    r"""Read one value per line, into an array if they are numbers in rows of equal length.

    >>> decode('{"a": 1}\n{"a": 2}\n')
    [{'a': 1}, {'a': 2}]

    Raises:
        DecodeError: the body is empty, or a line is not JSON; the message has the line number.
        PayloadTooLargeError: its values need more memory than the budget allows.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    text = utf8(body, content_type)
    budget = _budget.if_large(body)
    lines = 0 if budget is None else text.count(b"\n") + 1
    if budget is not None:
        # Lines are copied, and split at the price of an object each.
        budget.attempt(len(text) + _LINE * min(lines, _PIECE), _NAME)
    array = _numbers_only(text, budget)
    if array is not None:
        return array
    if not text.strip():
        msg = "The body is empty: JSON Lines expected"
        raise DecodeError(msg)
    if budget is not None:
        _json_size.take(text, budget, _NAME, lines)
        # Python's parser reads these lines.
        budget.step(text.count(b"NaN") + text.count(b"Infinity"), _NAME)
    loads = json.loads if _numbers.has_long_integer(text) else orjson.loads
    if len(text) > _PIECE:
        # A line that is not JSON is found before there are objects for all the others.
        for piece, number in _pieces(text):
            _check(piece, number)
    values: list[Any] = []
    for piece, number in _pieces(text):
        values += _values(piece, number, loads)
    return json.as_array_of_numbers(values)


def _pieces(text: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """Some lines at a time, and how many come before them."""
    number = 0
    for piece in _numbers.lines(text):
        yield bytes(piece), number
        number += piece.count(b"\n") + 1


def _check(piece: bytes, before: int) -> None:
    text = json.without_constants(piece)
    try:
        # Nothing is kept: a deque has no place for it.
        deque(map(orjson.loads, filter(_is_filled, bytes(text).split(b"\n"))), 0)
    except ValueError:
        # With the number of the line.
        _values(piece, before, json.loads)


def _values(piece: bytes, before: int, loads: Callable[[bytes], Any]) -> list[Any]:
    """The values of some lines.

    Raises:
        DecodeError: a line is not JSON; the message has the line number.
    """
    lines = piece.split(b"\n")
    try:
        return list(map(loads, filter(_is_filled, lines)))
    except ValueError:
        pass
    values = []
    for number, line in enumerate(lines, before + 1):
        if line.strip():
            read = json.loads_slowly if json.has_constants(line) else json.loads
            try:
                values.append(read(line))
            except DecodeError as error:
                msg = f"Line {number}: {error.message}"
                raise DecodeError(msg) from None
    return values


def encode(prediction: object, content_type: str = "") -> bytes:  # noqa: ARG001
    r"""Write one line for each item.

    >>> encode([{"a": 1}, {"a": 2}])
    b'{"a":1}\n{"a":2}\n'

    Raises:
        EncodeError: the prediction, or something in it, has no JSON form.
    """
    if isinstance(prediction, np.ndarray) and prediction.dtype.kind in "biuf" and prediction.size:
        text = _json_writer.dumps(prediction)
        if prediction.ndim == 1:
            return text[1:-1].replace(b",", b"\n") + b"\n"
        if prediction.ndim == _ROWS:
            return text[1:-1].replace(b"],[", b"]\n[") + b"\n"
    return b"".join(_json_writer.dumps(item) + b"\n" for item in _items(prediction))


def _items(prediction: Any) -> Any:
    if isinstance(prediction, np.ndarray):
        return prediction if prediction.ndim else [prediction]
    if isinstance(prediction, (str, bytes, bytearray, memoryview)):
        return [prediction]
    if _objects.is_object(prediction) or _objects.is_address(prediction):
        return [prediction]
    if hasattr(prediction, "to_dict") and hasattr(prediction, "columns"):
        return _json_writer.records(prediction)
    if hasattr(prediction, "detach") or hasattr(prediction, "toarray"):
        return _items(_arrays.as_array(prediction, _NAME))
    return prediction if hasattr(prediction, "__iter__") else [prediction]


def _numbers_only(text: bytes | bytearray, budget: Budget | None) -> Any:
    """An array if every line is a row of numbers, or every line is a number; else None."""
    if b"\r" in text:
        if text.count(b"\r") != text.count(b"\r\n"):
            return None
        text = text.replace(b"\r", b"")
    if b"\n\n" in text or (text[-1:].isspace() and text[-2:-1].isspace()):
        pieces = (_BLANK_LINES.sub(b"\n", piece).strip() for piece in _numbers.lines(text))
        text = b"\n".join(filter(None, pieces))
    size = len(text) - text.endswith(b"\n")
    lines = text.count(b"\n", 0, size) + 1
    opening = _BRACKETS.match(text)
    depth = opening.end() if opening else 0
    if depth:
        # A line end that does not follow so many closing brackets is inside a row.
        if text.count(b"]" * depth + b"\n", 0, size) != lines - 1:
            return None
    elif b"[" in text or b"," in text:
        return None
    rows = bytearray(size + 2)
    rows[0], rows[-1] = b"[]"
    memoryview(rows)[1:-1] = memoryview(text)[:size]
    codes = np.frombuffer(rows, np.uint8)
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        piece[piece == ord("\n")] = ord(",")
    array = json.numbers(rows, budget, _NAME)
    if array is None or len(array) != lines:
        return None
    return array if array.ndim == depth + 1 else None
