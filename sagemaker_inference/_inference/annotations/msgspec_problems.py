"""Find all wrong fields of an input that msgspec has refused: it stops at the first."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from sagemaker_inference._inference import request_files
from sagemaker_inference._inference.annotations.hints import (
    LISTS,
    MAPPINGS,
    UNIONS,
    cells_of,
    core,
    fields_of,
    has_fields,
)
from sagemaker_inference._inference.annotations.problems import (
    MISSING,
    SHOWN,
    UNKNOWN,
    Problem,
    of_msgspec,
    tags_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Each level validates again what the one above has.
_DEEPEST: Final = 8
_ABSENT: Final = object()
_UNEXPECTED: Final = object()


def wrong_fields(
    value: Any, hint: Any, error: Exception, convert: Callable[[Any, Any], Any]
) -> list[Problem]:
    """All problems of a value, or more than a message shows; at least that of the error.

    Args:
        value: what does not fit, of Python's own types.
        hint: the annotation.
        error: what msgspec has said of it.
        convert: ``convert(value, hint)`` of a part, which raises what msgspec does.
    """
    found: list[Problem] = []
    with request_files.while_refused():
        _look(value, hint, (), convert, found)
    return found or [of_msgspec(error, (), value, hint)]


def _look(
    value: Any,
    hint: Any,
    path: tuple[Any, ...],
    convert: Callable[[Any, Any], Any],
    found: list[Problem],
) -> None:
    import msgspec

    try:
        convert(value, hint)
    except msgspec.ValidationError as error:
        count = len(found)
        for name, part, part_hint in _parts(value, hint) if len(path) < _DEEPEST else ():
            if part is _ABSENT or part is _UNEXPECTED:
                found.append(Problem((*path, name), MISSING if part is _ABSENT else UNKNOWN))
            else:
                _look(part, part_hint, (*path, name), convert, found)
            if len(found) > SHOWN:
                return
        if len(found) == count:
            found.append(of_msgspec(error, path, value, hint))


def _parts(value: Any, hint: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The name, the value and the annotation of each part of a value."""
    kind = core(hint)[0]
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(value, (list, tuple)):
        hints = cells_of(kind)
        is_fixed = origin not in LISTS or (origin is tuple and Ellipsis not in arguments)
        parts: Any = zip(value, hints if is_fixed else cycle(hints), strict=False)
        yield from ((index, *part) for index, part in enumerate(parts))
    elif isinstance(value, dict):
        if origin in MAPPINGS:
            yield from ((name, item, arguments[1]) for name, item in value.items())
        elif origin in UNIONS:
            yield from _parts_of_tagged(value, kind)
        elif has_fields(kind):
            yield from _fields(value, kind)


def _parts_of_tagged(value: dict[str, Any], union: Any) -> Iterator[tuple[Any, Any, Any]]:
    for kind, tag in tags_of(union):
        if value.get(kind.__struct_config__.tag_field) == tag:
            yield from _fields(value, kind)


def _fields(value: dict[str, Any], kind: Any) -> Iterator[tuple[Any, Any, Any]]:
    import msgspec

    info: Any = msgspec.inspect.type_info(kind)
    hints = fields_of(kind)
    if getattr(info, "array_like", False):
        return
    for field in info.fields:
        name = field.encode_name
        if name in value:
            yield name, value[name], hints[field.name]
        elif field.required:
            yield name, _ABSENT, None
    if getattr(info, "forbid_unknown_fields", False):
        known = {info.tag_field, *(field.encode_name for field in info.fields)}
        yield from ((name, _UNEXPECTED, None) for name in value if name not in known)
