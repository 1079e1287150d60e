"""LIBSVM text: one record per line, ``label index:value index:value``; the extra ``scipy``.

`decode` returns a scipy csr_matrix of float64, of shape (lines, columns). Indices count from 0, as
XGBoost reads them: files that count from 1 leave column 0 empty. The number of columns is the
highest index plus one, or the parameter ``features`` of the content type (``features=127``). Labels
are optional; they and ``qid:`` are skipped, and `read_labels` returns the labels. Text after ``#``
is a comment.

`encode` writes the rows of a dense or sparse matrix, with the label 0 and without its zeros.
"""

from __future__ import annotations

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
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

_NAME: Final = "LIBSVM"
_MAX_COLUMNS: Final = (1 << 31) - 1
# What str.splitlines takes for the end of a line, among ASCII.
_LINE_ENDS: Final = b"\n\r\v\f\x1c\x1d\x1e"
_TOKENS_A_STEP: Final = 3
_LINES_A_STEP: Final = 8


def decode(body: Body | str, content_type: str = "", *, features: int | None = None) -> Any:
    """Read a sparse matrix with one row per line.

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
    indices = array("q")
    values = array("d")
    ends = array("q", [0])
    budget = _budget.if_large(body)
    for number, tokens in _lines(body, content_type, budget):
        for token in tokens if ":" in tokens[0] else tokens[1:]:
            index, _, value = token.partition(":")
            if index == "qid":
                continue
            try:
                indices.append(int(index))
                values.append(float(value))
            except (ValueError, OverflowError):
                msg = f"Invalid LIBSVM: {repr(token)[:40]} in line {number} is not index:value"
                raise DecodeError(msg) from None
        ends.append(len(indices))
    # Views, since csr_matrix would copy objects of the array module.
    column_of = np.frombuffer(indices, np.int64)
    lowest, highest = int(column_of.min(initial=0)), int(column_of.max(initial=-1))
    columns = 1 + highest if features is None else features
    end = min(columns, _MAX_COLUMNS)
    if lowest < 0 or highest >= end:
        cell = int(np.flatnonzero((column_of < 0) | (column_of >= end))[0])
        row = int(np.searchsorted(np.frombuffer(ends, np.int64), cell, "right"))
        msg = f"Invalid LIBSVM: index {column_of[cell]} in record {row} is not from 0 to {end - 1}"
        raise DecodeError(msg)
    cells = np.frombuffer(values, np.float64)
    return sparse.csr_matrix((cells, column_of, ends), (len(ends) - 1, columns), np.float64)


def read_labels(body: Body | str, content_type: str = "") -> NDArray[np.float64]:
    """The labels of the lines, of shape (lines,); NaN for a line without one.

    Raises:
        DecodeError: the body is empty, or a label is not a number; the message has the line number.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    labels = []
    for number, tokens in _lines(body, content_type, _budget.if_large(body)):
        try:
            labels.append(float("nan") if ":" in tokens[0] else float(tokens[0]))
        except ValueError:
            msg = f"Invalid LIBSVM: label {repr(tokens[0])[:40]} in line {number} is not a number"
            raise DecodeError(msg) from None
    return np.array(labels, np.float64)


def encode(prediction: Any, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write a matrix of numbers, one row per line; a vector is a column.

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


def _lines(
    body: Body | str, content_type: str, budget: Budget | None
) -> Iterator[tuple[int, list[str]]]:
    """The tokens of each line that has any, with its number from 1."""
    empty = True
    text = utf8(body, content_type)
    if budget is not None:
        lines = len(text) - len(text.translate(None, _LINE_ENDS))
        budget.step(text.count(b":") // _TOKENS_A_STEP + lines // _LINES_A_STEP, _NAME)
    for number, line in enumerate(_split(text), 1):
        tokens = line.partition("#")[0].split()
        if tokens:
            empty = False
            yield number, tokens
    if empty:
        msg = "The body is empty: LIBSVM expected"
        raise DecodeError(msg)


def _split(text: bytes | bytearray) -> Iterator[str]:
    """The lines of a text, some at a time: a list of short lines takes several times its memory."""
    start = 0
    for piece in _numbers.lines(text):
        try:
            yield from piece.decode().splitlines()
        except UnicodeDecodeError as error:
            msg = f"Invalid LIBSVM: not UTF-8 at byte {start + error.start}"
            raise DecodeError(msg) from None
        start += len(piece) + 1
