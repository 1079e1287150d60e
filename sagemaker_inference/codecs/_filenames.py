"""File names that clients send, in Content-Disposition (RFC 6266, RFC 7578, RFC 8187)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHARSETS: Final = {"utf-8", "iso-8859-1"}
# What a file system takes for a name.
_LONGEST: Final = 255


def filename_of(disposition: Mapping[str, str]) -> str | None:
    """The name that a client has for a file, without folders and what cannot be printed.

    Args:
        disposition: the parameters of a Content-Disposition.

    Returns:
        The name; "" where it is empty or leads elsewhere, as ``..`` does; None without one.
    """
    name = _extended(disposition.get("filename*", ""))
    if name is None:
        name = disposition.get("filename")
        if name is None:
            # Of a charset that there is not, or broken: a file it is all the same.
            return "" if "filename*" in disposition else None
        # As browsers write the one character that would end it.
        name = name.replace("%22", '"')
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(filter(str.isprintable, name)).strip()
    if name.strip(".") == "":
        return ""
    while len(name.encode()) > _LONGEST:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[:-1]}{dot}{ending}" if stem and len(ending) < _LONGEST // 2 else name[:-1]
    return name


def _extended(value: str) -> str | None:
    """A value such as ``UTF-8''na%C3%AFve.txt``; None if it is not one."""
    charset, first, rest = value.partition("'")
    _, second, text = rest.partition("'")
    if not (first and second) or charset.lower() not in _CHARSETS:
        return None
    try:
        return unquote(text, charset, "strict")
    except UnicodeDecodeError:
        return None
