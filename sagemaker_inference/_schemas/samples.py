"""A value that fits a JSON Schema, to show what a request looks like."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Schema = Mapping[str, Any]

# Below this depth, a sample has what must be there only: a type may contain itself.
_DEEP: Final = 4
_DEEPEST: Final = 32
_TEXTS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "decimal": "1.5",
    "duration": "P1D",
    "email": "name@example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "partial-time": "12:00:00",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "01234567-89ab-4cde-8f01-23456789abcd",
    **{
        f"uuid{version}": f"01234567-89ab-{version}cde-8f01-23456789abcd"
        for version in (1, 3, 4, 5)
    },
}
# What most patterns are about, for want of a text made by one.
_LIKELY: Final = (
    *(letter * length for letter in ("a", "A", "1") for length in range(1, 13)),
    *("text", "Text", "a1", "A1", "a-b", "a_b", "a.b", "A-1", "A-123", "AB-123", "ABC-123"),
    *("#aabbcc", "+12345678901", "1.5", "1.0.0", "12:00", "2026-01-31", "name@example.com"),
    *("https://example.com/", "s3://bucket/key"),
)


class NoSampleError(Exception):
    """A schema says too little, or contains itself without an end."""


def sample(schema: Schema, components: Mapping[str, Schema], depth: int = 0) -> Any:
    """A value that fits a schema, unless it has rules that only its validator knows.

    Args:
        schema: the schema.
        components: what it refers to, by the last part of the reference.
        depth: how many schemas contain this one.

    Raises:
        NoSampleError: there is none.
    """
    if depth > _DEEPEST:
        raise NoSampleError
    named = [schema[name][0] for name in ("examples", "enum") if schema.get(name)]
    named += [schema[name] for name in ("const", "default") if name in schema]
    if named:
        return named[0]
    inner = [components[schema["$ref"].rpartition("/")[2]]] if "$ref" in schema else []
    for name in ("anyOf", "oneOf", "allOf"):
        inner += [one for one in schema.get(name, ()) if one.get("type") != "null"]
    if inner:
        return sample(inner[0], components, depth + 1)
    kinds = schema.get("type")
    make = _MAKERS.get(kinds[0] if isinstance(kinds, list) else kinds)
    if make is None:
        raise NoSampleError
    return make(schema, components, depth)


def _array(schema: Schema, components: Mapping[str, Schema], depth: int) -> list[Any]:
    if "prefixItems" in schema:
        return [sample(item, components, depth + 1) for item in schema["prefixItems"]]
    least = schema.get("minItems", 0)
    length = least or int(depth <= _DEEP and schema.get("maxItems", 1) > 0)
    item = schema.get("items") or {"type": "number"}
    return [sample(item, components, depth + 1) for _ in range(length)]


def _object(schema: Schema, components: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    needed = schema.get("required", ())
    fields = {
        name: sample(field, components, depth + 1)
        for name, field in schema.get("properties", {}).items()
        if name in needed or depth <= _DEEP
    }
    others = schema.get("additionalProperties")
    if not fields and isinstance(others, dict) and others and depth <= _DEEP:
        names = schema.get("propertyNames", {})
        name = sample({"type": "string", **names}, components, depth + 1) if names else "name"
        return {name: sample(others, components, depth + 1)}
    return fields


def _integer(schema: Schema, *_: Any) -> int:
    return int(_number(schema, is_whole=True))


def _number(schema: Schema, *_: Any, is_whole: bool = False) -> float:
    step = schema.get("multipleOf", 1)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and below is not None and not is_whole:
        return float(above + below) / 2
    if "multipleOf" in schema and below is None and (low, above) != (None, None):
        return float(max(_multiples_from(step, low, above)))
    low = above + step if low is None and above is not None else low
    high = below - step if high is None and below is not None else high
    value = step if high is None else min(step, high)
    return float(value if low is None else max(value, low))


def _multiples_from(step: float, low: float | None, above: float | None) -> Iterator[float]:
    """The first multiples of a step that each of two limits allows."""
    if low is not None:
        yield math.ceil(low / step) * step
    if above is not None:
        yield (math.floor(above / step) + 1) * step


def _text(schema: Schema, *_: Any) -> str:
    if "pattern" in schema:
        return _text_like(schema)
    text = _TEXTS.get(schema.get("format", ""), "text")
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return text.ljust(shortest, "t")[: max(shortest, longest)]


def _text_like(schema: Schema) -> str:
    """A text that a pattern matches, of those that many match."""
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    try:
        fitting = (text for text in _LIKELY if re.search(schema["pattern"], text))
        return next(text for text in fitting if shortest <= len(text) <= longest)
    except (StopIteration, re.error):  # it may be of another dialect
        raise NoSampleError from None


def _boolean(*_: Any) -> bool:
    return True


_MAKERS: Final[Mapping[Any, Callable[..., Any]]] = {
    "array": _array,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "object": _object,
    "string": _text,
}
