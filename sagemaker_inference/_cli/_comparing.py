"""Whether two responses say the same: numbers within a tolerance, keys in any order."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import BaseInferenceToolkitError
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

# What is shown of a value.
_WIDTH: Final = 60
_MISSING: Final = object()
# Of a body that is not what its type says, or nested too deeply.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    RecursionError,
    csv.Error,
    BaseInferenceToolkitError,
)


class Tolerance(NamedTuple):
    """By how much numbers may differ: as for `math.isclose`.

    Attributes:
        relative: as a share of the larger one.
        absolute: at least this.
    """

    relative: float
    absolute: float

    def are_close(self, one: float, other: float) -> bool:
        """Whether two numbers are the same; NaN is what NaN is."""
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=self.relative, abs_tol=self.absolute)


def difference(
    was: bytes, was_type: str, body: bytes, content_type: str, tolerance: Tolerance
) -> str:
    """What is different in a response, as a sentence without an end; "" where it says the same.

    Args:
        was: the body of the response before.
        was_type: its Content-Type.
        body: the body of the response now.
        content_type: its Content-Type.
        tolerance: by how much numbers may differ.
    """
    name = content_types.parse(content_type).name
    name_was = content_types.parse(was_type).name
    if name != name_was:
        return f"the content type is {name or 'none'}, and was {name_was or 'none'}"
    if was == body:
        return ""
    try:
        read = _readers(name)
        if read is not None:
            return _compare(read(was, was_type), read(body, content_type), tolerance, "")
    except _UNREADABLE:
        pass
    now = f"{_short(body)} ({counted(len(body), 'byte')})"
    return f"the body is {now}, and was {_short(was)} ({len(was)})"


def _readers(name: str) -> Callable[[bytes, str], Any] | None:
    """What reads a content type, so that its values can be compared; None for bytes."""
    if name == content_types.JSON:
        return lambda body, _: json.loads(body)
    if name == content_types.JSON_LINES:
        return lambda body, _: [json.loads(line) for line in body.splitlines() if line.strip()]
    if name == content_types.CSV:
        return lambda body, _: [
            [_cell(text) for text in row]
            # As they are: a cell may have line ends.
            for row in csv.reader(io.StringIO(body.decode(), newline=""))
        ]
    if name in (content_types.NPY, content_types.NPZ):
        codec = codecs.for_content_type(name)
        assert codec is not None  # noqa: S101 - built in
        return codec.decode
    return None


def _compare(was: Any, now: Any, tolerance: Tolerance, place: str) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            found = _compare(
                was.get(key, _MISSING), now.get(key, _MISSING), tolerance, f"{place}[{key!r}]"
            )
            if found:
                return found
        return ""
    if isinstance(was, list) and isinstance(now, list):
        for index, pair in enumerate(zip_longest(was, now, fillvalue=_MISSING)):
            found = _compare(*pair, tolerance, f"{place}[{index}]")
            if found:
                return found
        return ""
    if hasattr(was, "dtype") and hasattr(now, "dtype"):
        return _compare_arrays(was, now, tolerance, place)
    return "" if _is_same(was, now, tolerance) else _sentence(place, now, was)


def _is_same(was: Any, now: Any, tolerance: Tolerance) -> bool:
    numbers = _number(was), _number(now)
    if None not in numbers:
        return tolerance.are_close(*numbers)  # type: ignore[arg-type]
    return type(was) is type(now) and bool(was == now)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an int that no float holds
        return None


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _compare_arrays(was: Any, now: Any, tolerance: Tolerance, place: str) -> str:
    import numpy as np

    if was.shape != now.shape:
        return _sentence(f"{place} the shape".strip(), now.shape, was.shape)
    if was.dtype.kind in "iufb" and now.dtype.kind in "iufb":
        close = np.isclose(
            now, was, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True
        )
    else:
        close = np.asarray(now == was)
    if close.all():
        return ""
    index = tuple(int(number) for number in np.argwhere(~close)[0])
    where = f"{place}[{', '.join(map(str, index))}]" if index else place
    return _sentence(where, now.item(*index), was.item(*index))


def _sentence(place: str, now: Any, was: Any) -> str:
    place = place or "the answer"
    if was is _MISSING:
        return f"{place} is {_short(now)}, and was not there"
    if now is _MISSING:
        return f"{place} is missing, and was {_short(was)}"
    return f"{place} is {_short(now)}, and was {_short(was)}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
