"""A value that fits a JSON Schema, to show what a request looks like."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._schemas.patterns import text_like

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Schema = Mapping[str, Any]

# Below this depth, a sample has what must be there only: a type may contain itself.
_DEEP: Final = 4
_DEEPEST: Final = 32
_NOTHING: Final = object()
# Of a number, beyond which a float is not exact.
_DIGITS: Final = 10
# What JSON in a text may be, where nothing is said of it.
_ANY: Final = {"type": "object"}
_TEXTS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "decimal": "1.5",
    "duration": "P1D",
    "email": "name@example.com",
    "ipv4": "127.0.0.1",
    "ipv4interface": "192.0.2.1/24",
    "ipv4network": "192.0.2.0/24",
    "ipv6": "::1",
    "ipv6interface": "2001:db8::1/64",
    "ipv6network": "2001:db8::/64",
    "ipvanyaddress": "127.0.0.1",
    "ipvanyinterface": "192.0.2.1/24",
    "ipvanynetwork": "192.0.2.0/24",
    "partial-time": "12:00:00",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "01234567-89ab-4cde-8f01-23456789abcd",
    **{
        f"uuid{version}": f"01234567-89ab-{version}cde-8f01-23456789abcd"
        for version in (1, 3, 4, 5)
    },
}
# They show more than a text that is made of a pattern.
_LIKELY: Final = (
    *("text", "Text", "a", "A", "1", "a1", "A1", "a-b", "a_b", "a.b", "A-123", "ABC-123"),
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
    named += [schema["const"]] if "const" in schema else []
    named += [schema["default"]] if _has_default(schema) else []
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


def _has_default(schema: Schema) -> bool:
    """Whether it has a default that a client could send: libraries do not check their own."""
    default = schema.get("default", _NOTHING)
    if default is None:
        kinds = [schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))]
        return kinds == [None] or any("null" in (kind or ()) for kind in kinds)
    if isinstance(default, str) and "pattern" in schema:
        with contextlib.suppress(re.error):
            return re.search(schema["pattern"], default) is not None
    return default is not _NOTHING


def _array(schema: Schema, components: Mapping[str, Schema], depth: int) -> list[Any]:
    if "prefixItems" in schema:
        return [sample(item, components, depth + 1) for item in schema["prefixItems"]]
    least = schema.get("minItems", 0)
    length = least or int(depth <= _DEEP and schema.get("maxItems", 1) > 0)
    item = schema.get("items") or {"type": "number"}
    return [sample(item, components, depth + 1) for _ in range(length)]


def _object(schema: Schema, components: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    needed = schema.get("required", ())
    fields = {}
    for name, field in schema.get("properties", {}).items():
        if name in needed:
            fields[name] = sample(field, components, depth + 1)
        elif depth <= _DEEP:
            with contextlib.suppress(NoSampleError):
                fields[name] = sample(field, components, depth + 1)
    others = schema.get("additionalProperties")
    if not fields and isinstance(others, dict) and others and depth <= _DEEP:
        names = schema.get("propertyNames", {})
        name = sample({"type": "string", **names}, components, depth + 1) if names else "name"
        return {name: sample(others, components, depth + 1)}
    return fields


def _integer(schema: Schema, *_: Any) -> int:
    return int(_number(schema, is_whole=True))


def _number(schema: Schema, *_: Any, is_whole: bool = False) -> float:
    """The first number that all limits allow, of those that are near to one of them."""
    step = schema.get("multipleOf", 1)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    limits = [limit for limit in (low, above, high, below) if limit is not None]
    numbers = [1, step]
    for limit in limits:
        numbers += [round((limit // step + more) * step, _DIGITS) for more in (0, 1, -1)]
    has_steps = is_whole or "multipleOf" in schema
    if limits and not has_steps:
        numbers += [(min(limits) + max(limits)) / 2]
    for number in numbers:
        is_within = (
            (low is None or number >= low)
            and (above is None or number > above)
            and (high is None or number <= high)
            and (below is None or number < below)
        )
        is_step = not has_steps or round(number % step, _DIGITS) in (0, step)
        if is_within and is_step and not (is_whole and number % 1):
            return number if is_whole else float(number)
    raise NoSampleError


def _text(schema: Schema, components: Mapping[str, Schema], depth: int) -> str:
    if "pattern" in schema:
        return _text_like(schema)
    if schema.get("contentMediaType") == content_types.JSON:
        return json.dumps(sample(schema.get("contentSchema") or _ANY, components, depth + 1))
    text = _TEXTS.get(schema.get("format", ""), "text")
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return text.ljust(shortest, "t")[: max(shortest, longest)]


def _text_like(schema: Schema) -> str:
    """A text that a pattern matches."""
    pattern = schema["pattern"]
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    with contextlib.suppress(re.error):  # it may be of another dialect
        for text in _LIKELY:
            if shortest <= len(text) <= longest and re.search(pattern, text):
                return text
    made = text_like(pattern, shortest, longest)
    if made is None:
        raise NoSampleError
    return made


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
