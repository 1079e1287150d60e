"""Inspect annotations: strip Annotated and None, and recognize classes of libraries."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from sagemaker_inference import _content_types as content_types

# The annotations of handlers that take raw bodies.
RAW_TYPES: Final = (bytes, bytearray, memoryview, str)
LISTS: Final = (list, tuple, set, frozenset, Sequence)


def core(hint: Any) -> tuple[Any, bool]:
    """The annotation without Annotated and None, and whether it allows None."""
    hint = bare(hint)
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        if len(members) == 1 or all(map(is_raw_type, members)):
            return bare(members[0]), len(members) < len(get_args(hint))
    return hint, False


def is_raw_type(hint: Any) -> bool:
    """Whether a bare annotation is one of `RAW_TYPES`."""
    return isinstance(hint, type) and hint in RAW_TYPES


def bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def library_of(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def is_array_alias(hint: Any) -> bool:
    """Whether it is ``numpy.typing.NDArray[...]``, which is a ``type`` alias in some versions."""
    origin = get_origin(hint)
    named = getattr(origin, "__value__", None)
    origin = get_origin(named) if named is not None else origin
    return (getattr(origin, "__module__", ""), getattr(origin, "__name__", "")) == (
        "numpy",
        "ndarray",
    )


def mentions_pydantic(hint: Any, seen: dict[int, Any]) -> bool:
    """Whether it contains a class of pydantic, so that pydantic must validate it."""
    if id(hint) in seen or "pydantic" not in sys.modules:
        return False
    seen[id(hint)] = hint
    if hasattr(hint, "__pydantic_validator__") or library_of(hint) == "pydantic":
        return True
    if get_origin(hint) is Annotated:
        libraries = {library_of(type(constraint)) for constraint in hint.__metadata__}
        if libraries & {"pydantic", "annotated_types"}:
            return True
    parts = get_args(hint)
    # __required_keys__ marks the TypedDict of both typing and typing_extensions.
    if dataclasses.is_dataclass(hint) or hasattr(hint, "__required_keys__"):
        parts = tuple(fields_of(hint).values())
    return any(mentions_pydantic(part, seen) for part in parts)


def fields_of(kind: Any) -> dict[str, Any]:
    """The annotations of a class; empty if it is not a class or one cannot be evaluated."""
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation may raise anything
        return {}


def names_of_lists(hint: Any) -> set[str]:
    """The names of fields that are annotated as lists, which may occur several times in a form."""
    fields = {name: core(kind)[0] for name, kind in fields_of(core(hint)[0]).items()}
    return {name for name, kind in fields.items() if (get_origin(kind) or kind) in LISTS}


def with_lists(data: Any, names: set[str], content_type: str) -> Any:
    """A form's dict with single values of list fields wrapped in a list."""
    if type(data) is not dict or not content_types.is_form(content_type):
        return data
    return {
        name: [value] if name in names and isinstance(value, (str, bytes)) else value
        for name, value in data.items()
    }


def is_array_class(hint: Any) -> bool:
    """Whether it is ``numpy.ndarray`` or ``numpy.typing.NDArray[...]``."""
    is_class = (library_of(hint), getattr(hint, "__name__", "")) == ("numpy", "ndarray")
    return is_class or is_array_alias(hint)
