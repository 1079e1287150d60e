"""URLs of servers, as command lines name them."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import click

_SCHEMES: Final = ("http", "https")
_HOST: Final = re.compile(r"[a-z0-9._-]+")
_PRINTABLE: Final = re.compile(r"[!-~]*")


class ServerURL(NamedTuple):
    """Where a server is.

    Attributes:
        scheme: "http" or "https".
        host: a name, in ASCII, or an address, without brackets.
        port: the port; None for the scheme's.
        path: what comes before the paths of requests, without a slash at its end.
    """

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def is_url(text: str) -> bool:
    """Whether an argument is a URL, of whatever kind, rather than a file."""
    return "://" in text


def read_url(text: str) -> ServerURL:
    """Read the URL of a server, as of ``/invocations`` on it.

    >>> str(read_url("http://127.0.0.1:8080/invocations"))
    'http://127.0.0.1:8080'

    Args:
        text: the URL.

    Raises:
        UsageError: it is not one.
    """
    try:
        return _read(text)
    except ValueError as error:
        message = (
            f"{text!r} is not a URL of a server: {error}. Write it as in http://127.0.0.1:8080"
        )
        raise click.UsageError(message) from None


def _read(text: str) -> ServerURL:
    # urlsplit leaves some of these out.
    if any(character.isspace() or not character.isprintable() for character in text):
        message = "it has a space or a control character"
        raise ValueError(message)
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        message = "it does not begin with http:// or https:// and a host"
        raise ValueError(message)
    if "@" in parts.netloc:
        message = "it has a user name or a password, which are not sent"
        raise ValueError(message)
    if "?" in text or "#" in text:
        message = "it has a query or a fragment, which are not sent"
        raise ValueError(message)
    if not _PRINTABLE.fullmatch(parts.path):
        message = "its path has other characters than those of ASCII"
        raise ValueError(message)
    if parts.port == 0:
        message = "there is no port 0"
        raise ValueError(message)
    path = parts.path.rstrip("/").removesuffix("/invocations")
    return ServerURL(parts.scheme, _host(parts.hostname or ""), parts.port, path)


def _host(host: str) -> str:
    if ":" in host and "%" not in host:
        return str(IPv6Address(host))
    name = host.encode("idna").decode()
    if not _HOST.fullmatch(name):
        message = f"{host!r} is not a host" if host else "it has no host"
        raise ValueError(message)
    return name
