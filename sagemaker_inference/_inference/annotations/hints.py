"""Inspect annotations: strip Annotated and None, and recognize classes of libraries."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Container, Iterable, Mapping, Reversible, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

# The annotations of handlers that take raw bodies.
RAW_TYPES: Final = (bytes, bytearray, memoryview, str)
# What a list is, too, but whose items no library looks at, or pydantic only while they are used.
ITERABLES: Final = (Iterable, Container, Reversible)
LISTS: Final = (list, tuple, set, frozenset, Sequence, *ITERABLES)
MAPPINGS: Final = (dict, Mapping)
UNIONS: Final = (Union, types.UnionType)
# What a TypedDict says of a key, and not of its value; before Python 3.11, of typing_extensions.
_OF_KEYS: Final = {"Required", "NotRequired", "ReadOnly"}


def core(hint: Any) -> tuple[Any, bool]:
    """The annotation without Annotated and None, and whether it allows None."""
    hint = bare(hint)
    if get_origin(hint) in UNIONS:
        members = [member for member in get_args(hint) if member is not type(None)]
        if len(members) == 1 or all(map(is_raw_type, members)):
            return bare(members[0]), len(members) < len(get_args(hint))
    return hint, False


def is_raw_type(hint: Any) -> bool:
    """Whether a bare annotation is one of `RAW_TYPES`."""
    return isinstance(hint, type) and hint in RAW_TYPES


def with_lists(hint: Any) -> Any:
    """An annotation with lists in place of any iterables of one type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        parts = (with_lists(arguments[0]), *hint.__metadata__)
        return Annotated[parts]
    if not arguments or origin not in (*UNIONS, list, *ITERABLES):
        return hint
    parts = tuple(map(with_lists, arguments))
    if origin in ITERABLES:
        return list[parts]  # type: ignore[valid-type]
    if parts == arguments:
        return hint
    return list[parts] if origin is list else Union[parts]  # type: ignore[valid-type]  # noqa: UP007


def bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def of_torch(hint: Any, name: str) -> Any:
    """The dtype or the device of torch that ``Annotated`` names, also within a union, or None.

    Args:
        hint: the annotation.
        name: of its class: "dtype" or "device".
    """
    constraints = getattr(hint, "__metadata__", ())
    own = (one for one in constraints if is_of_library(type(one), "torch", name))
    within = (one for part in get_args(hint) if (one := of_torch(part, name)) is not None)
    return next(own, None) or next(within, None)


def library_of(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def is_of_library(kind: Any, library: str, name: str) -> bool:
    """Whether it is the class of this name, wherever in the library it is defined."""
    return (library_of(kind), getattr(kind, "__name__", "")) == (library, name)


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
    if dataclasses.is_dataclass(hint) or is_typed_dict(hint):
        parts = tuple(fields_of(hint).values())
    return any(mentions_pydantic(part, seen) for part in parts)


def fields_of(kind: Any) -> dict[str, Any]:
    """The annotations of a class; empty if it is not a class or one cannot be evaluated.

    Those of a TypedDict are without ``Required``, ``NotRequired`` and ``ReadOnly``.
    """
    try:
        hints = get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation may raise anything
        return {}
    if not is_typed_dict(kind):
        return hints
    return {name: _of_value(hint) for name, hint in hints.items()}


def _of_value(hint: Any) -> Any:
    """The annotation of a key of a TypedDict, without what is said of the key."""
    if get_origin(hint) is Annotated:
        parts: Any = (_of_value(get_args(hint)[0]), *hint.__metadata__)
        return Annotated[parts]
    is_of_key = getattr(get_origin(hint), "_name", "") in _OF_KEYS
    return _of_value(get_args(hint)[0]) if is_of_key else hint


def is_typed_dict(kind: Any) -> bool:
    """Whether it is a TypedDict, of typing or of typing_extensions."""
    return hasattr(kind, "__required_keys__")


def has_fields(kind: Any) -> bool:
    """Whether it is a class of a library that gives its fields types."""
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind)
        or is_typed_dict(kind)
        # msgspec, attrs and pydantic.
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__pydantic_validator__")
    )


def pydantic_fields(kind: Any) -> Any:
    """What pydantic knows of the fields of a class, by name; None if it is not of pydantic."""
    # Models have it by the second name only before pydantic 2.10.
    return getattr(kind, "__pydantic_fields__", None) or getattr(kind, "model_fields", None)


def fields_by_name(kind: Any) -> dict[str, Any]:
    """The annotations of a class, by the names that its fields have in a form or in JSON."""
    hints = fields_of(kind)
    names = getattr(kind, "__struct_fields__", ())
    others: dict[str, str] = dict(
        zip(names, getattr(kind, "__struct_encode_fields__", ()), strict=True)
    )
    found = {others.get(name, name): hint for name, hint in hints.items()}
    for name, field in (pydantic_fields(kind) or {}).items():
        alias = field.validation_alias
        # AliasChoices; an AliasPath leads into a value, which a file has none of.
        for choice in getattr(alias, "choices", (alias,)):
            if isinstance(choice, str) and name in hints:
                found[choice] = hints[name]
    return found


def fields_of_form(hint: Any) -> dict[str, list[Any]]:
    """The annotations of the fields of a form, of which a union of classes may have several."""
    kind = core(hint)[0]
    found: dict[str, list[Any]] = {}
    for member in get_args(kind) if get_origin(kind) in UNIONS else (kind,):
        for name, field in fields_by_name(member).items():
            found.setdefault(name, []).append(field)
    return found


def cells_of(row: Any) -> list[Any]:
    """The annotations of the items of a list, a tuple or the like; one, if it is that of all."""
    if get_origin(row) in LISTS:
        return [each for each in get_args(row) if each is not Ellipsis]
    if isinstance(row, type) and issubclass(row, tuple):
        return list(fields_of(row).values())
    config = getattr(row, "__struct_config__", None)
    if config is None or not config.array_like:
        return []
    hints = fields_of(row)
    return [str] * (config.tag is not None) + [hints[name] for name in row.__struct_fields__]


def value_hint(hint: Any) -> Any:
    """The annotation of the values of a dict; None for what is none."""
    kind = core(hint)[0]
    arguments = get_args(kind)
    return arguments[1] if get_origin(kind) in MAPPINGS and arguments else None


def is_json_text(hint: Any) -> bool:
    """Whether it is pydantic's ``Json[...]``, also within a union: a text, whatever it holds."""
    if get_origin(hint) in UNIONS:
        return any(map(is_json_text, get_args(hint)))
    kinds = [hint, *map(type, getattr(hint, "__metadata__", ()))]
    return any(is_of_library(kind, "pydantic", "Json") for kind in kinds)


def list_of(hint: Any) -> tuple[Any, Any] | None:
    """What makes the list that an annotation is of, and the annotation of its items.

    None for what is no list, or one of a fixed length.
    """
    kind = core(hint)[0]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin not in LISTS or not arguments or (origin is tuple and arguments[-1] is not Ellipsis):
        return None
    return (list if origin in (Sequence, *ITERABLES) else origin), arguments[0]


def is_image_class(kind: Any) -> bool:
    """Whether it is ``PIL.Image.Image``."""
    return is_of_library(kind, "PIL", "Image")


def is_array_class(hint: Any) -> bool:
    """Whether it is ``numpy.ndarray`` or ``numpy.typing.NDArray[...]``."""
    return is_of_library(hint, "numpy", "ndarray") or is_array_alias(hint)
