"""Content types: their names, and how RFC 9110 compares and negotiates them.

Comparison is case-insensitive and ignores parameters (``text/CSV; charset=utf-8`` is CSV).
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
JSON_LINES: Final = "application/jsonlines"
EVENT_STREAM: Final = "text/event-stream"
NPY: Final = "application/x-npy"
NPZ: Final = "application/x-npz"
UTF8_TYPES: Final = [JSON, CSV]

# Clients choose these headers: the caches below must not grow with what they send.
_CACHE_SIZE: Final = 256
_ESCAPE: Final = re.compile(r"\\(.)")
_QUALITY: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


class ContentType(NamedTuple):
    """A parsed content type: ``name`` in lower case without parameters, ``parameters`` by name.

    >>> parse("text/csv; header=present").parameters["header"]
    'present'
    """

    name: str
    parameters: Mapping[str, str]


@lru_cache(maxsize=_CACHE_SIZE)
def parse(header: str) -> ContentType:
    """Parse a Content-Type header; RFC 9110 section 8.3.

    Parameter names are lower-cased, values unquoted. Malformed parameters are ignored.

    >>> parse("Text/CSV; charset=UTF-8").name
    'text/csv'
    """
    name, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for item in _split(rest, ";"):
        key, separator, value = item.partition("=")
        if separator:
            parameters[key.strip().lower()] = _unquote(value.strip())
    return ContentType(name.strip().lower(), MappingProxyType(parameters))


@lru_cache(maxsize=_CACHE_SIZE)
def is_form(header: str) -> bool:
    """Whether a Content-Type header is multipart/form-data or a urlencoded form.

    >>> is_form("multipart/form-data; boundary=x")
    True
    """
    return parse(header).name in (FORM, MULTIPART)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern such as ``image/*`` or ``*/*`` covers ``name``; both in lower case.

    >>> matches("image/*", "image/png")
    True
    """
    if pattern in (ANY, name):
        return True
    return pattern.endswith("/*") and name.startswith(pattern[:-1])


@lru_cache(maxsize=_CACHE_SIZE)
def parse_accept(header: str) -> tuple[tuple[str, float], ...]:
    """Parse an Accept header into (range without parameters, quality 0 to 1), in its order.

    A malformed quality counts as 1, as a missing one does.

    >>> parse_accept("text/csv;q=0.5, application/json")
    (('text/csv', 0.5), ('application/json', 1.0))
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
    """The quality of the most specific range that covers ``name``, 0 if none does.

    >>> quality(parse_accept("text/csv;q=0.5, */*;q=0.1"), "application/json")
    0.1
    """
    best, specificity = 0.0, -1
    for pattern, value in ranges:
        if matches(pattern, name):
            exactness = 0 if pattern == ANY else 1 if pattern.endswith("/*") else 2
            if exactness > specificity:
                best, specificity = value, exactness
    return best


def negotiate(accept: str, offers: Sequence[str]) -> str | None:
    """Choose the offer that the client prefers; None if none is acceptable.

    Of offers with the same quality, those that the client names come before those that only a
    wildcard covers, in the client's order; then the server's order counts. An empty header accepts
    everything.

    >>> negotiate("text/csv;q=0.5, application/json", ["text/csv", "application/json"])
    'application/json'

    Args:
        accept: the Accept header.
        offers: content types, in the server's order of preference.
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
