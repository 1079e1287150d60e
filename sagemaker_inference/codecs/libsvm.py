"""LIBSVM text: one record per line, ``label index:value index:value``; the extra ``scipy``.

`decode` returns a scipy csr_matrix of float64, of shape (lines, columns). Indices count from 0, as
XGBoost reads them: files that count from 1 leave column 0 empty. The number of columns is the
highest index plus one, or the parameter ``features`` of the content type (``features=127``). Labels
are optional; they and ``qid:`` are skipped, and `read_labels` returns the labels. Text after ``#``
is a comment.

`encode` writes the rows of a dense or sparse matrix, with the label 0 and without its zeros.
"""

from __future__ import annotations

import re
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, _numbers
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "LIBSVM"
_MAX_COLUMNS: Final = (1 << 31) - 1
# What str.splitlines takes for the end of a line, among ASCII.
_LINE_ENDS: Final = b"\n\r\v\f\x1c\x1d\x1e"
# Control characters other than tabs and line ends.
_IRREGULAR: Final = bytes(set(range(32)) - set(b"\t\n"))
_COMMENT: Final = re.compile(rb"#[^\n]*")
_LABEL: Final = re.compile(rb"\n[ \t]*[^\s:]+(?=\s)")
_QUERY: Final = re.compile(rb"(?<=\s)qid:\S*")
_LINE_END, _BLANK, _COLON = (ord(character) for character in "\n :")
_EMPTY: Final = "The body is empty: LIBSVM expected"
_TOKENS_A_STEP: Final = 3
_LINES_A_STEP: Final = 8


def decode(body: Body | str, content_type: str = "", *, features: int | None = None) -> Any:
    r"""Read a sparse matrix with one row per line.

    >>> decode("1 0:0.5 2:2\n", features=4).toarray()
    array([[0.5, 0. , 2. , 0. ]])

    Args:
        body: the text.
        content_type: the Content-Type header, for its ``charset`` and ``features``.
        features: the number of columns; None leaves it to the content type, or to the indices.

    Raises:
        DecodeError: the body is empty, or a line is malformed; the message has the line number.
        PayloadTooLargeError: it has more items than the budget allows.
        UnsupportedMediaTypeError: scipy is not installed, or the charset is unknown.
    """
    sparse = needed("scipy.sparse", "A LIBSVM body")
    if features is None and ";" in content_type:
        value = content_types.parse(content_type).parameters.get("features", "")
        features = int(value) if value.isdecimal() and len(value) < 10 else None  # noqa: PLR2004
    rows = _Rows()
    for number, lines in _blocks(body, content_type, rows.add_regular):
        for line_number, tokens in _tokens(number, lines):
            rows.add(line_number, tokens)
    indices, values, ends = rows.indices, rows.values, rows.ends
    if len(ends) == 1:
        raise DecodeError(_EMPTY)
    # Views, since csr_matrix would copy objects of the array module.
    column_of = np.frombuffer(indices, np.int64)
    lowest, highest = int(np.min(column_of, initial=0)), int(np.max(column_of, initial=-1))
    columns = 1 + highest if features is None else features
    end = min(columns, _MAX_COLUMNS)
    if lowest < 0 or highest >= end:
        cell = int(np.flatnonzero((column_of < 0) | (column_of >= end))[0])
        row = int(np.searchsorted(np.frombuffer(ends, np.int64), cell, "right"))
        msg = f"Invalid LIBSVM: index {column_of[cell]} in record {row} is not from 0 to {end - 1}"
        raise DecodeError(msg)
    cells = np.frombuffer(values, np.float64)
    return sparse.csr_matrix((cells, column_of, ends), (len(ends) - 1, columns), np.float64)


class _Rows:
    """The rows of a sparse matrix.

    Attributes:
        indices: the column of each item.
        values: the items.
        ends: how many items there are up to the end of each row.
    """

    def __init__(self) -> None:
        self.indices = array("q")
        self.values = array("d")
        self.ends = array("q", [0])

    def add(self, number: int, tokens: list[str]) -> None:
        """Add a line.

        Raises:
            DecodeError: it is malformed.
        """
        for token in tokens if ":" in tokens[0] else tokens[1:]:
            index, _, value = token.partition(":")
            if index == "qid":
                continue
            try:
                self.indices.append(int(index))
                self.values.append(float(value))
            except (ValueError, OverflowError):
                msg = f"Invalid LIBSVM: {repr(token)[:40]} in line {number} is not index:value"
                raise DecodeError(msg) from None
        self.ends.append(len(self.indices))

    def add_regular(self, text: bytes | bytearray) -> bool:
        """Add well-formed lines of ASCII, in a third of the time.

        Returns:
            False, with nothing added, for others.
        """
        text = text.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if not text.isascii() or len(text.translate(None, _IRREGULAR)) < len(text):
            return False
        text = _COMMENT.sub(b"", b"\n" + text + b"\n")
        items = _LABEL.sub(b"\n", text)
        if b"qid:" in items:
            items = _QUERY.sub(b"", items)
        count = items.count(b":")
        parts = items.replace(b":", b" : ").split()
        # With as many items as colons, and a colon after each index, none lacks a side.
        if len(items.split()) != count or len(parts) != 3 * count or set(parts[1::3]) - {b":"}:
            return False
        del parts[1::3]
        numbers = _in_order(parts)
        are_indices = (b"0" + b"".join(parts[::2])).isdigit()
        if numbers is None or not are_indices or numbers[::2].max(initial=0) >= _MAX_COLUMNS:
            return False
        # Blank lines are not rows.
        ends = _colons_up_to_lines(items)[~_are_blank(text)] + len(self.indices)
        self.indices.frombytes(numbers[::2].astype(np.int64).tobytes())
        self.values.frombytes(numbers[1::2].astype(np.float64).tobytes())
        self.ends.frombytes(ends.astype(np.int64).tobytes())
        return True


def _in_order(parts: list[bytes]) -> NDArray[Any] | None:
    """Numbers in one array; None if one of them is none."""
    numbers = _numbers.in_order(b"[%b]" % b",".join(parts)) if parts else np.empty(0)
    if numbers is not None:
        return numbers
    try:
        # JSON has no ".5", "+1" and "nan".
        return np.array(list(map(float, parts)))
    except ValueError:
        return None


def _are_blank(text: bytes) -> NDArray[np.bool_]:
    """Of each line, whether it has nothing but blanks and control characters."""
    codes = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(codes == _LINE_END)
    starts = np.append(0, ends[:-1] + 1)
    # A running count of characters would take eight times the memory of the text.
    are_blank: NDArray[np.bool_] = np.maximum.reduceat(codes, starts) <= _BLANK
    return are_blank


def _colons_up_to_lines(text: bytes) -> NDArray[np.intp]:
    """How many colons there are up to the end of each line."""
    codes = np.frombuffer(text, np.uint8)
    return np.searchsorted(np.flatnonzero(codes == _COLON), np.flatnonzero(codes == _LINE_END))


def read_labels(body: Body | str, content_type: str = "") -> NDArray[np.float64]:
    """The labels of the lines, of shape (lines,); NaN for a line without one.

    Raises:
        DecodeError: the body is empty, or a label is not a number; the message has the line number.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    labels: list[float] = []
    for number, lines in _blocks(body, content_type):
        for line_number, tokens in _tokens(number, lines):
            try:
                labels.append(float("nan") if ":" in tokens[0] else float(tokens[0]))
            except ValueError:
                label = f"label {repr(tokens[0])[:40]} in line {line_number}"
                msg = f"Invalid LIBSVM: {label} is not a number"
                raise DecodeError(msg) from None
    if not labels:
        raise DecodeError(_EMPTY)
    return np.array(labels, np.float64)


def encode(prediction: Any, content_type: str = "") -> bytes:  # noqa: ARG001
    r"""Write a matrix of numbers, one row per line; a vector is a column.

    >>> encode([[0.5, 0, 2]])
    b'0 0:0.5 2:2.0\n'

    Raises:
        EncodeError: the prediction is not an array of numbers with at most two dimensions.
    """
    rows: Iterable[Iterable[tuple[int, float]]]
    if hasattr(prediction, "tocsr"):
        rows = _sparse_rows(prediction.tocsr())
    else:
        table = _arrays.as_array(prediction, _NAME)
        if table.ndim > 2 or table.dtype.kind not in "biuf":  # noqa: PLR2004
            raise _arrays.unencodable(prediction, _NAME)
        if table.ndim < 2:  # noqa: PLR2004
            table = table.reshape(-1, 1)
        rows = (((index, cell) for index, cell in enumerate(row) if cell) for row in table.tolist())
    lines = (" ".join(["0", *(f"{index}:{float(cell)!r}" for index, cell in row)]) for row in rows)
    return "".join(line + "\n" for line in lines).encode()


def _sparse_rows(matrix: Any) -> Iterator[Iterable[tuple[int, float]]]:
    indices, cells = matrix.indices.tolist(), matrix.data.tolist()
    for start, end in pairwise(matrix.indptr.tolist()):
        yield zip(indices[start:end], cells[start:end], strict=True)


def _blocks(
    body: Body | str, content_type: str, takes: Callable[[bytes | bytearray], bool] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Some lines at a time, with the number of the first from 1.

    A list of short lines takes several times the memory of their text.

    Args:
        body: the text.
        content_type: the Content-Type header, for its charset.
        takes: gets each block; one that it takes is left out.
    """
    text = utf8(body, content_type)
    budget = _budget.if_large(body)
    if budget is not None:
        ends = len(text) - len(text.translate(None, _LINE_ENDS))
        budget.step(text.count(b":") // _TOKENS_A_STEP + ends // _LINES_A_STEP, _NAME)
    start, number = 0, 1
    for piece in _numbers.lines(text):
        if takes is not None and takes(piece):
            number += piece.count(b"\n") + 1
        else:
            if takes is not None and budget is not None:
                budget.step(piece.count(b":"), _NAME)
            try:
                lines = piece.decode().splitlines()
            except UnicodeDecodeError as error:
                msg = f"Invalid LIBSVM: not UTF-8 at byte {start + error.start}"
                raise DecodeError(msg) from None
            yield number, lines
            number += len(lines)
        start += len(piece) + 1


def _tokens(number: int, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The tokens of each line that has any, with its number."""
    for line_number, line in enumerate(lines, number):
        tokens = line.partition("#")[0].split()
        if tokens:
            yield line_number, tokens
