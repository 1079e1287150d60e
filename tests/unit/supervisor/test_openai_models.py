"""The list of models, as clients of OpenAI's API ask for it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from sagemaker_inference._supervisor.front_end import Request
from sagemaker_inference._supervisor.openai_models import OpenAIModels

if TYPE_CHECKING:
    from support.fake_front_end import Bench


def test_they_are_asked_for_where_the_program_has_such_a_path(bench: Bench) -> None:
    route = OpenAIModels(bench.process, "model")
    route.offer(["/invocations", "/v10/embed"])
    route.offer(["/v1/embeddings"])
    assert bench.next() == {"type": "ask", "paths": ["/v1/models"]}
    route.handle(Request(1, "GET", "/v1/models", [], b""))
    number, status, document = bench.reply()
    assert (number, status) == (1, 200)
    created = document["data"][0].pop("created")
    assert created > 1_700_000_000
    model = {"id": "model", "object": "model", "owned_by": "sagemaker"}
    assert document == {"object": "list", "data": [model]}


def test_another_method_is_refused_in_openais_form(bench: Bench) -> None:
    OpenAIModels(bench.process, "model").handle(Request(1, "POST", "/v1/models", [], b""))
    reply = bench.next()
    assert (reply["status"], ["allow", "GET, HEAD"] in reply["headers"]) == (405, True)
    assert json.loads(base64.b64decode(reply["body"]))["error"] == {
        "message": "The method is POST; /v1/models takes GET and HEAD",
        "type": "invalid_request_error",
        "param": None,
        "code": "method_not_allowed",
    }
