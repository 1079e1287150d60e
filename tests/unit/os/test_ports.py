"""Ports that are free."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from support.ports import free_port as untaken

from sagemaker_inference._os.ports import free_port

if TYPE_CHECKING:
    import pytest


def test_a_port_that_is_taken_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = untaken()
        ports = iter([taken.getsockname()[1], port])
        monkeypatch.setattr(random, "choice", lambda _: next(ports))
        assert free_port("127.0.0.1") == port
