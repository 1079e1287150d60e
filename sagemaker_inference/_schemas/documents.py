"""The documents that `sagemaker-inference schema` writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._schemas.hints import Schemas
from sagemaker_inference._schemas.operations import operation, summary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._schemas.operations import Operation

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
            },
        }
    },
}
_COMPONENTS: Final = "#/components"
_OPENAPI_SCHEMAS: Final = f"{_COMPONENTS}/schemas/"
_JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"


def is_text(content_type: str) -> bool:
    """Whether bodies of a type are text to show."""
    return content_type.startswith("text/") or content_type in (
        content_types.JSON,
        "application/jsonlines",
    )


def openapi(handler: InferenceHandler, title: str, about: str, folder: Path) -> dict[str, Any]:
    """The OpenAPI document of a program.

    Args:
        handler: the assembled program.
        title: its name.
        about: its documentation, or "".
        folder: where files request.* may be.
    """
    schemas = Schemas(_OPENAPI_SCHEMAS, InferenceError=_ERROR)
    paths: dict[str, Any] = {"/ping": {"get": _PING}}
    for path in handler.paths:
        post = _post(operation(handler, path, schemas, folder))
        # Each has another, and functions need not.
        if post["operationId"] in [
            one.get("operationId") for item in paths.values() for one in item.values()
        ]:
            del post["operationId"]
        paths[path] = {"post": post}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", **({"description": about} if about else {})},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {"Error": _FAILED},
        },
    }


_FAILED: Final = {
    "description": "The request failed; the message says why.",
    "content": {content_types.JSON: {"schema": {"$ref": f"{_OPENAPI_SCHEMAS}InferenceError"}}},
}
_PING: Final = {
    "operationId": "ping",
    "responses": {
        "200": {"description": "A worker has loaded the model."},
        "503": {"description": "None has."},
    },
}


def _post(found: Operation) -> dict[str, Any]:
    name, about = summary(found.handler)
    failed = {"$ref": f"{_COMPONENTS}/responses/Error"}
    what = "A stream of predictions." if found.streams else "The prediction."
    responses = {
        one: _media(one, found.response if one == content_types.JSON else {}, None)
        for one in found.responses
    }
    if found.streams and found.response:
        # As a client that does not want a stream gets it.
        whole = {"type": "array", "items": found.response}
        responses[content_types.JSON] = _media(content_types.JSON, whole, None)
    requests = {
        one: _media(one, _request_schema(found, one), body) for one, body in found.requests.items()
    }
    return {
        "operationId": name,
        **({"description": about} if about else {}),
        "requestBody": {"required": True, "content": requests},
        "responses": {
            "200": {"description": what, "content": responses},
            "4XX": failed,
            "5XX": failed,
        },
    }


def _request_schema(found: Operation, content_type: str) -> Mapping[str, Any]:
    if content_type == content_types.MULTIPART:
        return found.form
    named = (content_types.JSON, content_types.ANY, content_types.FORM)
    return found.schema if content_type in named else {}


def _media(content_type: str, schema: Mapping[str, Any], body: bytes | None) -> dict[str, Any]:
    if not schema and content_type.startswith("text/"):
        schema = {"type": "string"}
    media: dict[str, Any] = {"schema": schema} if schema else {}
    if body is not None and is_text(content_type):
        is_json = content_type == content_types.JSON
        media["example"] = json.loads(body) if is_json else body.decode(errors="replace")
    return media


def json_schema(handler: InferenceHandler, path: str, title: str, folder: Path) -> dict[str, Any]:
    """The JSON Schema of the requests to a path, with a sample.

    Args:
        handler: the assembled program.
        path: one of its paths.
        title: its name.
        folder: where files request.* may be.
    """
    schemas = Schemas("#/$defs/")
    found = operation(handler, path, schemas, folder)
    body = found.requests.get(content_types.JSON)
    # Those of the response are left out.
    needed = _referred(found.schema, schemas)
    parts = {name: part for name, part in schemas.components.items() if name in needed}
    return {
        "$schema": _JSON_SCHEMA,
        "title": title,
        **found.schema,
        **({"examples": [json.loads(body)]} if body else {}),
        **({"$defs": parts} if parts else {}),
    }


def _referred(schema: Mapping[str, Any], schemas: Schemas) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        text = json.dumps(waiting.pop())
        for name, part in schemas.components.items():
            if name not in found and f'"{schemas.prefix}{name}"' in text:
                found.add(name)
                waiting.append(part)
    return found
