"""A client of a server at a URL."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._urls import is_url, read_url
from sagemaker_inference.asgi._call import header_lines
from sagemaker_inference.testing import Client, Reply
from sagemaker_inference.testing._reply import Head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_SECONDS: Final = 600.0
_EXAMPLE: Final = "http://127.0.0.1:8080"
# A token of HTTP.
_PIECE: Final = 1 << 16
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def checked_program(_context: click.Context, _argument: click.Parameter, text: str) -> str:
    """The argument that names a program, if it does."""
    if is_url(text):
        read_url(text)
    elif not Path(text).is_file():
        message = f"there is no file {text}. Name a program's file, or a server as in {_EXAMPLE}"
        raise click.UsageError(message)
    return text


def check_model_dir(program: str, model_dir: str | None) -> None:
    """Refuse a folder of the model where a server has loaded one already.

    Raises:
        UsageError: it would have no effect.
    """
    if model_dir is not None and is_url(program):
        message = f"--model-dir has no effect on the server at {program}: leave it out"
        raise click.UsageError(message)


def checked_headers(named: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Headers, but for those without a value; the last one of a name counts.

    Raises:
        UsageError: one of them cannot be sent.
    """
    headers: dict[str, str] = {}
    for name, value in named:
        if not value:
            continue
        if not _NAME.fullmatch(name):
            message = f"{name!r} is not the name of a header"
            raise click.UsageError(message)
        if not (value.isascii() and value.isprintable()):
            message = f"{name} cannot be {value!r}: use printable ASCII characters"
            raise click.UsageError(message)
        same = [other for other in headers if other.lower() == name.lower()]
        headers[same[0] if same else name] = value
    return headers


class Arriving(Head):
    """A response of a server that is read as it comes, once, by iterating over it.

    Args:
        response: the response, of which the head has been read.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        super().__init__(response.status, response.getheaders())
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """The body.

        Raises:
            OSError: its end does not come.
        """
        response = self._response
        try:
            if response.length is not None:
                # Python before 3.13 does not count what read1 has read.
                yield response.read()
                return
            while piece := response.read1(_PIECE):
                yield piece
        except http.client.HTTPException as error:
            message = f"the response is not complete: {error}"
            raise OSError(message) from None


class Endpoint(Client):
    """A server at a URL; threads may share it, and each keeps a connection open.

    Args:
        url: where it is; paths of requests are appended.
        timeout: seconds to wait for each answer.

    Raises:
        UsageError: the URL is not one of a server.
    """

    def __init__(self, url: str, timeout: float = _SECONDS) -> None:
        self._url = url
        at = read_url(url)
        is_plain = at.scheme == "http"
        self._new = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
        # With a port, or http.client looks for one in an address of IPv6.
        self._host, self._port = at.host, at.port or self._new.default_port
        self._root = at.path
        self._timeout = timeout
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close the connections; the threads that share it do nothing more."""
        while self._connections:
            self._connections.pop().close()
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send any request; see `Client.request`.

        Raises:
            OSError: there is no answer.
        """
        with self.open(method, path, body, headers) as response:
            try:
                return Reply(response.status, response.getheaders(), response.read())
            except http.client.HTTPException as error:
                self._local.connection.close()
                message = f"the response is not complete: {error}"
                raise OSError(message) from None

    @contextmanager
    def stream(
        self, data: bytes, content_type: None, *, headers: Mapping[str, str | None], path: str
    ) -> Iterator[Arriving]:
        """Send a request, and read the response as it comes; see `TestClient.stream`.

        Raises:
            CommandError: there is no answer.
        """
        del content_type  # is among the headers
        try:
            response = self.open("POST", path, data, headers)
        except OSError as error:
            message = f"there is no answer from {self._url}: {error}. Is the server running?"
            raise CommandError(message) from None
        try:
            yield Arriving(response)
        finally:
            # What has not been read would come before the next answer.
            self._local.connection.close()

    def open(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> http.client.HTTPResponse:
        """Send a request, and return when the head of the response is there.

        Raises:
            OSError: there is no answer.
        """
        named = {name.decode(): value for name, value in header_lines(headers or {})}
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._new(self._host, self._port, timeout=self._timeout)
            self._local.connection = connection
            self._connections.append(connection)
        is_kept = connection.sock is not None
        try:
            connection.request(method, f"{self._root}{path}", body, named)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if is_kept and not isinstance(error, TimeoutError):
                # The server has closed a connection that was idle.
                return self.open(method, path, body, headers)
            if isinstance(error, OSError):
                raise
            raise OSError(str(error) or type(error).__name__) from None
