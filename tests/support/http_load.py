"""Clients that send requests at the same time, each over a connection of its own."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Answer(NamedTuple):
    """What came back; the status is 0 where the connection broke."""

    status: int
    value: Any


class Client:
    """One connection, which is opened again where it broke."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._port = port
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, data: Any) -> Answer:
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
            self._connection = connection
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", path, json.dumps(data), headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer(0, repr(error))
        try:
            return Answer(response.status, json.loads(body))
        except ValueError:
            return Answer(response.status, body)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def post(port: int, path: str, data: Any) -> Answer:
    """Send one request over a connection of its own."""
    client = Client(port)
    try:
        return client.post(path, data)
    finally:
        client.close()


def send_all(port: int, clients: int, send: Callable[[Client, int], None]) -> None:
    """Have so many clients run a function at the same time; what one raises is raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        client = Client(port)
        try:
            send(client, number)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
