"""Programs with sessions, and requests to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.builders import loaded

from sagemaker_inference._http.context import Context  # noqa: TC001 - hints are read
from sagemaker_inference._http.messages import Request, Response
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._program import roles
from sagemaker_inference.errors import BadRequestError

if TYPE_CHECKING:
    from sagemaker_inference import Registry
    from sagemaker_inference._inference.inference_handler import InferenceHandler

ID = "X-Amzn-SageMaker-Session-Id"
# Programs that were made; whoever makes them closes them.
made: list[InferenceHandler] = []


def count(data: Any, model: Any, context: Context) -> Any:
    """Count the requests of the session."""
    if context.session is None:
        return None
    if data == "close":
        context.session.close()
    if data == "fail":
        raise BadRequestError("no")
    context.session.state["n"] = context.session.state.get("n", 0) + 1
    return context.session.state["n"]


def program(registry: Registry, predict: Any = count, **options: Any) -> InferenceHandler:
    registry.model_loader(lambda: "model")
    registry.predictor(**options)(predict)
    if not registry.find(roles.SESSION_START):
        registry.session_start(lambda: None)
    made.append(loaded(registry))
    return made[-1]


def request(
    data: Any = 1,
    session: str = "",
    content_type: str = "application/json",
    path: str = "/invocations",
) -> Request:
    headers = {ID: session} if session else {}
    body = json.dumps(data).encode()
    return Request.from_body(body, content_type, "", headers, id="id-1", path=path)


def run(handler: InferenceHandler, *requests: Request) -> list[Response]:
    answering = whole_answers(handler, requests)
    return handler.run(answering) if handler.concurrency.is_async else run_without_loop(answering)


def ask(handler: InferenceHandler, *arguments: Any, **options: Any) -> Response:
    return run(handler, request(*arguments, **options))[0]


def new(handler: InferenceHandler, data: Any = 1) -> str:
    response = ask(handler, data, "NEW_SESSION")
    assert response.status == 200
    return response.headers[ID].partition(";")[0]
