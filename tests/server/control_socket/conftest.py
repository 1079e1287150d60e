"""A front end of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.front_end_process import LEAKS, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*vmargs: str, **properties: object) -> Server:
        server = Server(tmp_path, *vmargs, **properties)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
        assert "LEAK" not in server.log


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    server = start(LEAKS)
    server.open()
    return server
