"""The description of the program, where the server was started with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._supervisor.front_end import Request
from sagemaker_inference._supervisor.openapi import OpenAPI

if TYPE_CHECKING:
    from support.fake_front_end import Bench


def test_it_is_asked_for_where_there_is_one(bench: Bench) -> None:
    OpenAPI(bench.process, "").offer()
    route = OpenAPI(bench.process, '{"openapi": "3.1.0"}')
    route.offer()
    assert bench.next() == {"type": "ask", "paths": ["/openapi.json"]}
    route.handle(Request(1, "GET", "/openapi.json", [], b""))
    assert bench.reply() == (1, 200, {"openapi": "3.1.0"})
    route.handle(Request(2, "POST", "/openapi.json", [], b""))
    assert bench.next()["status"] == 405
