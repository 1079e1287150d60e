"""The wrong fields of an input, in one wording whatever library validates.

====================================  =========================================================
what is wrong                         the message
====================================  =========================================================
a value of another type               ``0.area: expected float, got str``
a field that is not there             ``0.area: missing``
a field that there is not             ``0.aera: unknown``
another value than there are          ``0.heating: expected 'gas' or 'district', got 'coal'``
a text that does not read as a date   ``0.built: expected date, got 'in winter'``
a value beyond a limit                ``0.rooms: must be >= 1``
what a class of the program raises    ``0: its own words``
====================================  =========================================================
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args, get_origin

from sagemaker_inference import _budget
from sagemaker_inference._inference.annotations.hints import core

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagemaker_inference.codecs import Body

# Wrong fields that a message names.
SHOWN: Final = 10
MISSING: Final = "missing"
UNKNOWN: Final = "unknown"
NO_VALUE: Final = object()
# Types that are written as text, which is shown where it cannot be read.
_OF_TEXT: Final = {"date", "datetime", "time", "timedelta", "uuid", "decimal", "url", "JSON"}

# The errors of pydantic, https://docs.pydantic.dev/latest/errors/validation_errors/
_TYPES: Final = {
    "int": "int", "float": "float", "bool": "bool", "string": "str", "bytes": "bytes",
    "list": "array", "tuple": "array", "set": "array", "frozen_set": "array", "iterable": "array",
    "dict": "object", "mapping": "object", "model": "object", "model_attributes": "object",
    "dataclass": "object", "none_required": "null",
    "date": "date", "datetime": "datetime", "time": "time",
    "time_delta": "timedelta", "uuid": "uuid", "decimal": "decimal",
    "url": "url",
    # Of Json: what holds it, and what it is.
    "json": "str", "json_invalid": "JSON",
}  # fmt: skip
_TYPE_ERROR: Final = re.compile(
    r"(.+?)(?:_(?:type|parsing|parsing_size|from_float|from_datetime_parsing|"
    r"from_datetime_inexact|from_date_parsing))?"
)
_LIMITS: Final = {
    "greater_than": ("gt", "must be > {}"),
    "greater_than_equal": ("ge", "must be >= {}"),
    "less_than": ("lt", "must be < {}"),
    "less_than_equal": ("le", "must be <= {}"),
    "multiple_of": ("multiple_of", "must be a multiple of {}"),
    "string_pattern_mismatch": ("pattern", "must match {!r}"),
    **{
        f"{kind}too_short": ("min_length", "must have a length >= {}")
        for kind in ("", "string_", "bytes_")
    },
    **{
        f"{kind}too_long": ("max_length", "must have a length <= {}")
        for kind in ("", "string_", "bytes_")
    },
}
_MISSING_ERRORS: Final = {"missing", "missing_argument", "missing_keyword_only_argument"}
_SAME: Final = {
    **dict.fromkeys((*_MISSING_ERRORS, "union_tag_not_found"), MISSING),
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), UNKNOWN),
}
_CHOICES: Final = {"literal_error", "enum", "union_tag_invalid"}
_EXPECTED: Final = {
    "literal_error": "expected",
    "enum": "expected",
    "union_tag_invalid": "expected_tags",
    "is_instance_of": "class",
}
_RAISED: Final = re.compile(r"(?:Value error|Assertion failed), ")

# The messages of msgspec, of which each has a path at its end.
_PATH: Final = re.compile(r"(.*) - at (?:`key` in )?`\$(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\[([^\]]*)\]|\.([^.\[]+)")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_MISMATCH: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_LIMIT: Final = re.compile(
    r"Expected `[^`]*` (?:(?P<order>[<>]=? .*)|of length (?P<limit>[<>]=? .*)|"
    r"of length (?P<length>.*)|of at least length (?P<least>.*)|"
    r"matching regex (?P<pattern>.*)|that's a (?P<multiple>multiple of .*))"
)
_LIMIT_WORDS: Final = {
    "order": "must be {}",
    "limit": "must have a length {}",
    "length": "must have a length of {}",
    "least": "must have a length >= {}",
    "pattern": "must match {}",
    "multiple": "must be a {}",
}
_UNREAD: Final = re.compile(
    r"Invalid (?:RFC3339 encoded (datetime|date|time)|ISO8601 (duration)|(UUID)|(decimal) string)"
)
_NAMES: Final = {"duration": "timedelta", "UUID": "uuid"}
_CHOICE: Final = re.compile(r"Invalid (?:enum )?value (.*)")
_NO_BASE64: Final = "Invalid base64 encoded string"
_DURATION: Final = re.compile(r"\bduration\b")
# An abbreviation stays as it is.
_CAPITAL: Final = re.compile(r"[A-Z](?![A-Z])")


class Problem(NamedTuple):
    """A wrong field.

    Attributes:
        path: the names of fields and the indices, from 0, that lead there.
        text: what is wrong with it.
    """

    path: tuple[Any, ...]
    text: str


def is_searched(body: Body) -> bool:
    """Whether all wrong fields of an input are looked for: those of large ones take long."""
    return _budget.of(body).received <= _budget.SMALL


def listed(problems: Sequence[Problem], whole: str = "the body") -> str:
    """The message about wrong fields: each once, and up to ten of them.

    Args:
        problems: what is wrong with them.
        whole: what they are the fields of.
    """
    texts = list(dict.fromkeys(f"{_name(path) or whole}: {text[:200]}" for path, text in problems))
    more = ["and more"] if len(texts) > SHOWN else []
    return "; ".join(texts[:SHOWN] + more)


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))[:100]


def errors_of(error: Any) -> Any:
    """What an error of pydantic says, without the input, which may be all of the body."""
    return error.errors(include_url=False, include_input=False)


def of_pydantic(
    errors: Iterable[Any], data: Any = NO_VALUE, within: tuple[Any, ...] = ()
) -> list[Problem]:
    """The problems that the errors of pydantic stand for, or more than a message shows.

    Args:
        errors: its errors.
        data: what was validated, where it is at hand.
        within: the path of that.
    """
    problems = []
    for error in islice(errors, SHOWN + 1):
        kind, context = error["type"], error.get("ctx", {})
        path, value = _found(data, tuple(error["loc"]), is_missing=kind in _MISSING_ERRORS)
        if kind.startswith("union_tag_"):
            tag = str(context.get("discriminator", "")).strip("'")
            path, value = (*path, tag), context.get("tag", "")
        text = _text_of_pydantic(kind, error["msg"], context, value)
        problems.append(Problem((*within, *path), text))
    return problems


def _text_of_pydantic(kind: str, message: str, context: Any, value: Any) -> str:
    if kind in _SAME:
        return _SAME[kind]
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return words.format(context[name])
    match = _TYPE_ERROR.fullmatch(kind)
    what = _TYPES.get(match[1] if match else "") or context.get(_EXPECTED.get(kind, ""))
    if what:
        choices = " or ".join(str(what).rsplit(", ", 1)) if kind == "union_tag_invalid" else what
        return expected(choices, value, is_choice=kind in _CHOICES)
    raised = _RAISED.match(message)
    if raised:
        return message[raised.end() :]
    return message[:1].lower() + message[1:] if _CAPITAL.match(message) else message


def expected(what: str, value: Any = NO_VALUE, *, is_choice: bool = False) -> str:
    """What was expected, and what has come, if that is known."""
    if value is NO_VALUE:
        return f"expected {what}"
    shows_text = isinstance(value, str) and (is_choice or what in _OF_TEXT)
    shows_value = is_choice and isinstance(value, (int, float))
    got = _shown(value) if shows_text or shows_value else json_type_of(value)
    return f"expected {what}, got {got}"


def json_type_of(value: Any) -> str:
    """The type of a value, as JSON has it."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, (list, tuple)) else type(value).__name__


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 40 else f"{value!r:.40}..."  # noqa: PLR2004


def _found(
    data: Any, path: tuple[Any, ...], *, is_missing: bool = False
) -> tuple[tuple[Any, ...], Any]:
    """The steps of a path that there are, and what they lead to.

    pydantic has others between them: the tags of unions and the names of their classes.

    Args:
        data: where the path begins.
        path: names and indices.
        is_missing: whether the last one is of a field that is not there.
    """
    if data is NO_VALUE:
        return path, data
    steps = []
    for step in path:
        is_there = (isinstance(data, dict) and step in data) or (
            isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data)
        )
        if is_there:
            steps.append(step)
            data = data[step]
    if is_missing:
        steps.append(path[-1])
    return tuple(steps), data


def of_msgspec(
    error: Exception, path: tuple[Any, ...] = (), value: Any = NO_VALUE, hint: Any = None
) -> Problem:
    """The problem that an error of msgspec stands for.

    Args:
        error: the error.
        path: where the value is that it is about.
        value: that value, where it is at hand.
        hint: its annotation.
    """
    text = str(error)
    if match := _PATH.fullmatch(text):
        text = match[1]
        steps = tuple(index or name for index, name in _STEP.findall(match[2]))
        if steps:
            # Of a union, it is the tag.
            path, value, hint = (*path, *steps), NO_VALUE, hint if tags_of(hint) else None
    for pattern, words in ((_MISSING, MISSING), (_UNKNOWN, UNKNOWN)):
        if match := pattern.fullmatch(text):
            return Problem((*path, match[1]), words)
    return Problem(path, _text_of_msgspec(text, value, hint))


def _text_of_msgspec(text: str, value: Any, hint: Any) -> str:
    choices = choices_of(hint)
    if choices and value is not NO_VALUE:
        return expected(choices, value, is_choice=True)
    if match := _MISMATCH.fullmatch(text):
        what = _DURATION.sub(_NAMES["duration"], match[1].removesuffix(" | null"))
        return f"expected {what}, got {match[2]}"
    if match := _LIMIT.match(text):
        return next(
            words.format(match[name]) for name, words in _LIMIT_WORDS.items() if match[name]
        )
    if match := _UNREAD.match(text):
        what = next(filter(None, match.groups()))
        return expected(_NAMES.get(what, what), value)
    if match := _CHOICE.fullmatch(text):
        return f"expected {choices}, got {match[1]}" if choices else f"unknown value {match[1]}"
    return "expected base64" if text == _NO_BASE64 else text.replace("`", "")


def choices_of(hint: Any) -> str:
    """The values of an enum, a Literal or the tags of a union of structs; "" for others."""
    kind = core(hint)[0]
    if get_origin(kind) is Literal:
        return one_of(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return one_of([member.value for member in kind])
    return one_of([tag for _, tag in tags_of(kind)])


def tags_of(union: Any) -> list[tuple[Any, Any]]:
    """The classes of a union that have a tag, each with it."""
    kinds = get_args(union)
    configs = [(kind, getattr(kind, "__struct_config__", None)) for kind in kinds]
    return [(kind, config.tag) for kind, config in configs if config and config.tag is not None]


def one_of(values: Sequence[Any]) -> str:
    """Values in words: ``'a', 'b' or 'c'``."""
    texts = list(map(repr, values))
    return " or ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))
