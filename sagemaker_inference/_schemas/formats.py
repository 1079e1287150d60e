"""The formats of dates and times, which msgspec leaves out where a zone may be missing."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from sagemaker_inference._inference.annotations.hints import (
    LISTS,
    bare,
    cells_of,
    fields_by_name,
    has_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FORMATS: Final = {dt.datetime: "date-time", dt.time: "time"}


def add_formats(
    schema: dict[str, Any], hint: Any, component: Callable[[str], tuple[str, dict[str, Any]]]
) -> None:
    """Add them to a schema of msgspec, in place.

    Args:
        schema: the schema.
        hint: what it is of.
        component: returns the name and the schema that a reference leads to.
    """
    _Adding(component).add(schema, hint)


class _Adding:
    def __init__(self, component: Callable[[str], tuple[str, dict[str, Any]]]) -> None:
        self._component = component
        self._seen: set[str] = set()

    def add(self, schema: dict[str, Any], hint: Any) -> None:
        kind = bare(hint)
        if "$ref" in schema:
            name, schema = self._component(schema["$ref"])
            # A union has the references of all of its classes.
            if name in self._seen or getattr(kind, "__name__", "?") not in name:
                return
            self._seen.add(name)
        if schema.get("type") == "string":
            if kind in _FORMATS and not _has_no_zone(hint):
                schema.setdefault("format", _FORMATS[kind])
            return
        for part, part_hint in _parts(schema, kind):
            self.add(part, part_hint)


def _parts(schema: dict[str, Any], kind: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """The schemas within another, each with its hint."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        yield from product(schema.get("anyOf", ()), arguments)
    elif "prefixItems" in schema:
        yield from zip(schema["prefixItems"], cells_of(kind), strict=False)
    elif origin in LISTS:
        yield schema.get("items", {}), arguments[0]
    elif origin in (dict, Mapping):
        yield schema.get("additionalProperties", {}), arguments[1]
    elif has_fields(kind):
        fields = fields_by_name(kind)
        yield from ((one, fields.get(name)) for name, one in schema.get("properties", {}).items())


def _has_no_zone(hint: Any) -> bool:
    """Whether the formats, which have a zone, are refused."""
    constraints = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return any(getattr(one, "tz", None) is False for one in constraints)
