"""Limits that ``Annotated`` adds: each is checked, or refused when the program is assembled.

msgspec ignores those of pydantic and annotated-types, and pydantic those of msgspec. Raw bodies,
arrays, tables and images are validated by neither.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from sagemaker_inference._errors import RegistrationError, UnprocessableInputError
from sagemaker_inference._inference.annotations.by_msgspec import msgspec_converter
from sagemaker_inference._inference.annotations.hints import fields_of, has_fields, library_of
from sagemaker_inference._inference.annotations.problems import (
    errors_of,
    listed,
    of_msgspec,
    of_pydantic,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

MSGSPEC, PYDANTIC, NOTHING = "msgspec", "pydantic", ""
_OF_META: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz",
)  # fmt: skip
# What pydantic and annotated-types have for schemas and for output.
_DESCRIPTIONS: Final = {"WithJsonSchema", "PlainSerializer", "WrapSerializer", "DocInfo"}
_FIXES: Final = {
    MSGSPEC: "msgspec validates it: use msgspec.Meta",
    PYDANTIC: "pydantic validates it: use pydantic.Field",
    NOTHING: "Check it in the function",
}


class UncheckedLimitError(RegistrationError):
    """An annotation has a limit that nothing would check."""


def limits_of(hint: Any) -> dict[str, Any]:
    """A limit of each library that an annotation has, however deep, by the library."""
    limits: dict[str, Any] = {}
    _collect(hint, limits, {})
    return limits


def refuse_unchecked(hint: Any, checker: str = NOTHING) -> None:
    """Refuse an annotation with limits of another library than the one that validates.

    Raises:
        UncheckedLimitError: it has such a limit.
    """
    for library, limit in limits_of(hint).items():
        if library != checker:
            raise _unchecked(hint, limit, checker)


def _unchecked(hint: Any, limit: Any, checker: str) -> UncheckedLimitError:
    return UncheckedLimitError(
        f"the annotation {hint!r} has a limit that would not be checked: {limit!r}. "
        f"{_FIXES[checker]}."
    )


def with_limits(convert: Convert, hint: Any) -> Convert:
    """A converter to bytes or text, and the check of their limits.

    Raises:
        RegistrationError: they have none of these limits, or a library is not installed.
    """
    checks = [_CHECKS[library](hint) for library in limits_of(hint)]
    if not checks:
        return convert

    def convert_and_check(body: Body, content_type: str, /, decode: Decode) -> Any:
        value = convert(body, content_type, decode=decode)
        for check in checks:
            value = check(value)
        return value

    return convert_and_check


def _collect(hint: Any, limits: dict[str, Any], seen: dict[int, Any]) -> None:
    if id(hint) in seen:
        return
    seen[id(hint)] = hint
    if get_origin(hint) is Annotated:
        for constraint in hint.__metadata__:
            if library := _checker_of(constraint):
                limits.setdefault(library, constraint)
    kind = get_origin(hint) or hint
    fields = fields_of(kind).values() if has_fields(kind) else ()
    for part in (*get_args(hint), *fields):
        _collect(part, limits, seen)


def _checker_of(constraint: Any) -> str:
    """The library that checks what ``Annotated`` adds; "" for what is not a limit."""
    library = library_of(type(constraint))
    if library == MSGSPEC:
        has_limit = any(getattr(constraint, name, None) is not None for name in _OF_META)
        return MSGSPEC if has_limit else NOTHING
    is_of_pydantic = library in {PYDANTIC, "annotated_types"}
    # A Field may have a description alone.
    is_description = type(constraint).__name__ in _DESCRIPTIONS or (
        getattr(constraint, "metadata", None) == []
    )
    return PYDANTIC if is_of_pydantic and not is_description else NOTHING


def _by_msgspec(hint: Any) -> Callable[[Any], Any]:
    msgspec_converter(hint)  # it refuses what cannot be had, with the fix
    import msgspec

    def check(value: Any) -> Any:
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise UnprocessableInputError(listed([of_msgspec(error)])) from None
        return value

    return check


def _by_pydantic(hint: Any) -> Callable[[Any], Any]:
    pydantic: Any = sys.modules.get("pydantic")
    limit = limits_of(hint)[PYDANTIC]
    if pydantic is None:
        raise _unchecked(hint, limit, MSGSPEC)
    try:
        adapter = pydantic.TypeAdapter(hint)
    except Exception:  # noqa: BLE001 - pydantic calls hooks of the constraints
        raise _unchecked(hint, limit, NOTHING) from None

    def check(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise UnprocessableInputError(listed(of_pydantic(errors_of(error)))) from None

    return check


_CHECKS: Final = {MSGSPEC: _by_msgspec, PYDANTIC: _by_pydantic}
