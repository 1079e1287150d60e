"""Content types: their names, and how RFC 9110 compares and negotiates them.

Types are compared without case and without parameters (``text/CSV; charset=utf-8`` is CSV).
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ANY",
    "CSV",
    "FORM",
    "JSON",
    "MULTIPART",
    "NPY",
    "NPZ",
    "OCTET_STREAM",
    "TEXT",
    "UTF8_TYPES",
    "ContentType",
    "is_form",
    "matches",
    "negotiate",
    "parse",
    "parse_accept",
    "quality",
]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
CSV: Final = "text/csv"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
OCTET_STREAM: Final = "application/octet-stream"
ANY: Final = "*/*"
NPY: Final = "application/x-npy"
NPZ: Final = "application/x-npz"
UTF8_TYPES: Final = [JSON, CSV]

# Content types come from clients: the caches below must not grow with what they send.
_CACHE_SIZE: Final = 256
_ESCAPE: Final = re.compile(r"\\(.)")
_QUALITY: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


class ContentType(NamedTuple):
    """A parsed content type: ``name`` in lower case without parameters, ``parameters`` by name."""

    name: str
    parameters: Mapping[str, str]


@lru_cache(maxsize=_CACHE_SIZE)
def parse(header: str) -> ContentType:
    """Read a Content-Type header; RFC 9110 section 8.3.

    Parameter names come in lower case, values without quotes. Malformed parameters are left out.
    """
    name, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for item in _split(rest, ";"):
        key, found, value = item.partition("=")
        if found:
            parameters[key.strip().lower()] = _unquote(value.strip())
    return ContentType(name.strip().lower(), MappingProxyType(parameters))


@lru_cache(maxsize=_CACHE_SIZE)
def is_form(header: str) -> bool:
    """Whether a Content-Type header is that of a form, of either kind."""
    return parse(header).name in (FORM, MULTIPART)


def matches(pattern: str, name: str) -> bool:
    """Whether a type such as ``image/*`` or ``*/*`` covers ``name``; both as `parse` names them."""
    if pattern in (ANY, name):
        return True
    return pattern.endswith("/*") and name.startswith(pattern[:-1])


@lru_cache(maxsize=_CACHE_SIZE)
def parse_accept(header: str) -> tuple[tuple[str, float], ...]:
    """Read an Accept header: (range without parameters, quality 0 to 1), as the client wrote them.

    A quality that is no number counts as 1, as a header without one would.
    """
    ranges: list[tuple[str, float]] = []
    for item in _split(header, ","):
        name, parameters = parse(item)
        if not name:
            continue
        q = parameters.get("q", "")
        quality = min(float(q), 1.0) if _QUALITY.fullmatch(q) else 1.0
        ranges.append((ANY if name == "*" else name, quality))
    return tuple(ranges)


def quality(ranges: Iterable[tuple[str, float]], name: str) -> float:
    """How welcome ``name`` is: the quality of the most specific range covering it, 0 if none."""
    best, specificity = 0.0, -1
    for pattern, value in ranges:
        if matches(pattern, name):
            exactness = 0 if pattern == ANY else 1 if pattern.endswith("/*") else 2
            if exactness > specificity:
                best, specificity = value, exactness
    return best


def negotiate(accept: str, offers: Sequence[str]) -> str | None:
    """Choose from ``offers``, the server's favourite first, what the client wants most.

    Among equally welcome offers, one that the client names outright goes before one that only a
    wildcard covers, in the order the client wrote them; then the server's order counts.
    Returns None where nothing is acceptable. An empty header accepts everything.
    """
    ranges = parse_accept(accept)
    if not ranges:
        return offers[0] if offers else None
    order = {name: -index for index, (name, _) in reversed(list(enumerate(ranges)))}
    best: tuple[float, int] = (0.0, 0)
    chosen: str | None = None
    for offer in offers:
        name = parse(offer).name
        value = quality(ranges, name)
        rank = (value, order.get(name, -len(ranges)))
        if value > 0 and (chosen is None or rank > best):
            best, chosen = rank, offer
    return chosen


def _split(text: str, separator: str) -> list[str]:
    """Split at ``separator`` outside double quotes."""
    if '"' not in text:
        return text.split(separator)
    parts, start, quoted, escaped = [], 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return _ESCAPE.sub(r"\1", value[1:-1])
    return value
