"""The few tests that start the real server on every Python."""

from __future__ import annotations

import pytest
from support.documents import PYTHON, ROOT, Curl, served

EXAMPLE = ROOT / "examples" / "iris"


@pytest.mark.java
@pytest.mark.smoke
def test_an_example_serves_a_request_and_stops(tmp_path):
    with served([PYTHON, EXAMPLE / "inference.py"], tmp_path / "log") as port:
        body = (EXAMPLE / "request.json").read_bytes()
        reply = Curl("/invocations", {"Content-Type": "application/json"}, body).send(port)
    assert reply.status == 200
