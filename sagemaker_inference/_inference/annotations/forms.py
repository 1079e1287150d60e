"""Fields of forms as browsers send them: all are texts, and a list of one looks like none.

==============================  ================================================================
annotation of a field           what it gets
==============================  ================================================================
a list                          a list, be it of one
a Literal or an enum            the value that the text stands for: 1 of ``Literal[1]``
``datetime``, ``time``          also without seconds, which browsers leave out
``bool``                        true for a checkbox's ``on``, false for ``off``
``X | None``                    None for an empty text, unless X is ``str``
==============================  ================================================================

What else a text stands for, such as a number, the library that validates knows. It is asked first.
"""

from __future__ import annotations

import re
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._http.uploads import Upload
from sagemaker_inference._inference.annotations.hints import (
    LISTS,
    UNIONS,
    bare,
    cells_of,
    core,
    fields_of_form,
    is_json_text,
    value_hint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Their texts stay as they are.
_TEXTS: Final = (str, bytes, bytearray, Any, object)
_NO_SECONDS: Final = {
    "datetime": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d"),
    "time": re.compile(r"\d\d:\d\d"),
}
_FLAGS: Final = {
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}


class FormFields:
    """Reads the fields of a form by its annotation.

    Args:
        hint: the annotation.
    """

    def __init__(self, hint: Any) -> None:
        of_each = value_hint(hint)
        self._others = _Field([] if of_each is None else [of_each])
        self._fields = {name: _Field(hints) for name, hints in fields_of_form(hint).items()}

    def with_lists(self, data: Any, content_type: str) -> Any:
        """A form's dict with single values of list fields wrapped in a list."""
        if type(data) is not dict or not content_types.is_form(content_type):
            return data
        return {name: self._of(name).as_list(value) for name, value in data.items()}

    def with_values(self, data: Any, content_type: str) -> Any:
        """A form's dict with what texts stand for in place of them, where no library knows."""
        if type(data) is not dict or not content_types.is_form(content_type):
            return data
        return {name: self._of(name).read(value) for name, value in data.items()}

    def _of(self, name: str) -> _Field:
        return self._fields.get(name, self._others)


class _Field:
    """Reads one field.

    Args:
        hints: its annotations, any of which may be meant.
    """

    def __init__(self, hints: Sequence[Any]) -> None:
        self._is_list = any(map(_is_list, hints))
        cells = [cells_of(core(hint)[0]) if _is_list(hint) else [hint] for hint in hints]
        self._read = text_reader([cell for each in cells for cell in each])

    def as_list(self, value: Any) -> Any:
        return [value] if self._is_list and isinstance(value, (str, bytes, Upload)) else value

    def read(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._read(item) if isinstance(item, str) else item for item in value]
        return self._read(value) if isinstance(value, str) else value


def _is_list(hint: Any) -> bool:
    kind = core(hint)[0]
    return (get_origin(kind) or kind) in LISTS and not is_json_text(hint)


def text_reader(hints: Sequence[Any]) -> Callable[[str], Any]:
    """What reads a text by its annotations: one that is of none of them stays as it is."""
    kinds = [kind for hint in hints for kind in _kinds_of(hint)]
    if any(kind in _TEXTS for kind in kinds):
        return str
    values = [value for kind in kinds for value in _values_of(kind)]
    if bool in kinds and not {int, float}.intersection(kinds):
        values += [True, False]
    names = {getattr(kind, "__name__", "") for kind in kinds}
    without_seconds = [_NO_SECONDS[name] for name in names & _NO_SECONDS.keys()]
    may_be_none = type(None) in kinds
    are_flags = any(isinstance(kind, type) and issubclass(kind, Flag) for kind in kinds)

    def read(text: str) -> Any:
        if any(isinstance(value, str) and value == text for value in values):
            return text
        if may_be_none and not text.strip():
            return None
        if any(pattern.fullmatch(text) for pattern in without_seconds):
            return f"{text}:00"
        for value in values:
            if _stands_for(text, value):
                return value
        # Several members of a Flag are one number.
        number = _number(text) if are_flags else None
        return text if number is None else number

    return read


def _kinds_of(hint: Any) -> list[Any]:
    """The annotations that a union is of, or the annotation itself."""
    kind = bare(hint)
    if get_origin(kind) in UNIONS:
        return [one for part in get_args(kind) for one in _kinds_of(part)]
    return [hint if is_json_text(hint) else kind]


def _values_of(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return []


def _stands_for(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return _FLAGS.get(text.strip().lower()) is value
    return isinstance(value, (int, float)) and _number(text) == value


def _number(text: str) -> float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None
