"""The Python objects of Multi Model Server (MMS), which only this module knows.

Handler services written for MMS (``handle(data, context)``) run in our workers, and our
`Transformer` runs in the stock back end of MMS.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._config import Config
from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    ErrorCode,
    OutOfMemoryError,
    PredictionError,
    StartError,
)
from sagemaker_inference._http import forms
from sagemaker_inference._http.error_response import ascii_line, error_response, error_status
from sagemaker_inference._http.messages import BODY, Headers, Part, Request, Response, whole_body
from sagemaker_inference._log import current_request, get_logger, users_exc_info
from sagemaker_inference._program.concurrency import Concurrency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from sagemaker_inference.codecs import Body

logger = get_logger()


class HandlerServiceAdapter:
    """A handler service written for MMS, in one of our workers, with MMS's Context.

    Args:
        handler_service: a module or a file, optionally with ":function", as in MMS. The module has
            that function (``handle`` by default) or exactly one class.
        config: the settings; by default those of the environment.
    """

    readable: Sequence[str] = ()
    writable: Sequence[str] = ()

    def __init__(self, handler_service: str, config: Config | None = None) -> None:
        self._name = handler_service
        config = config or Config.from_environment()
        self.concurrency = Concurrency(
            max_batch_size=config.max_batch_size or 1,
            max_batch_delay=config.max_batch_delay or 0.0,
        )
        self._handle: Callable[[list[Any] | None, Any], Any] | None = None
        self._context: Any = None

    def load(self, model_dir: str, gpu_id: int | None = None, model_name: str = "model") -> None:
        """Import the module and initialize its service, as MMS does.

        Args:
            model_dir: the folder of the model.
            gpu_id: the GPU of this worker, or None.
            model_name: the name of the model in MMS's context.

        Raises:
            StartError: the module does not exist, or has neither the function nor exactly one
                class.
        """
        # MMS starts its back end in the model folder, with the handler's folder, the model folder
        # and its code on sys.path.
        handler, _, function = self._name.partition(":")
        folder = str(Path(handler).parent.resolve()) if handler.endswith(".py") else ""
        for path in (model_dir, str(Path(model_dir, "code")), folder):
            if path and path not in sys.path:
                sys.path.insert(0, path)
        os.chdir(model_dir)
        module = _import(Path(handler.removesuffix(".py")).name, self._name)
        batch_size = self.concurrency.max_batch_size
        self._context = _new_context(model_name, model_dir, gpu_id, batch_size)
        entry = getattr(module, function or "handle", None)
        if entry is not None:
            entry(None, self._context)
            self._handle = entry
            return
        service = _only_class(module, self._name)()
        initialize = getattr(service, "initialize", None)
        if initialize is not None:
            initialize(self._context)
        self._handle = service.handle

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Pass the batch to the service, with forms as their fields, as MMS does."""
        for request in requests:
            forms.try_parse_fields(request, request.body)
        from mms.context import RequestProcessor

        context = self._context
        context.request_ids = {index: request.id for index, request in enumerate(requests)}
        context.request_processor = [RequestProcessor(_headers(request)) for request in requests]
        context.metrics = new_metrics(context.request_ids, context.model_name)
        data = [{part.name: _value(part) for part in request.parts} for request in requests]
        token = current_request.set(",".join(request.id for request in requests))
        try:
            results = self._call(data)
        except BaseException as error:  # sys.exit must not end the worker either
            failure = _failure(error)
            logger.error(  # noqa: TRY400 - without this package's own frames
                "requests %s failed", [r.id for r in requests], exc_info=users_exc_info(error)
            )
            return [error_response(failure, request.id, request.accept) for request in requests]
        finally:
            current_request.reset(token)
            log_metrics(context.metrics)
        return [
            self._response(index, result, request)
            for index, (result, request) in enumerate(zip(results, requests, strict=True))
        ]

    has_idle_work = False

    def use_idle_time(self) -> None:
        """Do nothing."""

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None:
        """Do nothing: a batch succeeds or fails as a whole, as under Multi Model Server."""

    def close(self) -> None:
        """Do nothing: handler services have no shutdown hook."""

    def _call(self, data: list[Any]) -> list[Any]:
        if self._handle is None:
            message = "a handler service was called before it was loaded"
            raise RuntimeError(message)
        results = self._handle(data, self._context)
        if not isinstance(results, list):
            message = f"The handler service returned {type(results).__name__}, expected a list"
            raise PredictionError(message)
        if len(results) != len(data):
            message = f"The handler service returned {len(results)} results, expected {len(data)}"
            raise PredictionError(message)
        return results

    def _response(self, index: int, result: Any, request: Request) -> Response:
        processor = self._context.request_processor[index]
        headers = dict(processor.get_response_headers())
        content_type = headers.pop("content-type", None) or ""
        try:
            body: Body = result if isinstance(result, (bytes, bytearray)) else _text(result)
        except (TypeError, ValueError) as error:
            logger.error(  # noqa: TRY400 - as above
                "request %s: the result cannot be sent", request.id, exc_info=users_exc_info(error)
            )
            failure = PredictionError(f"A result of type {type(result).__name__} cannot be sent")
            return error_response(failure, request.id, request.accept)
        return Response(
            body,
            content_type,
            status=processor.get_response_status_code() or 200,
            headers={name: str(value) for name, value in headers.items()},
            phrase=ascii_line(processor.get_response_status_phrase() or ""),
        )


def new_metrics(request_ids: dict[int, str], model_name: str) -> Any:
    """MMS's store of metrics for a batch: ``context.metrics.add_counter("rows", 3)``."""
    from mms.metrics.metrics_store import MetricsStore

    return MetricsStore(request_ids, model_name)


def log_metrics(metrics: Any) -> None:
    """Log what a store holds, each metric as the line that MMS's back end writes."""
    if getattr(metrics, "store", None):
        from mms.service import emit_metrics

        emit_metrics(metrics.store)


def _import(name: str, handler_service: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = (
            f"the handler service {handler_service!r} was not found: no module named {name!r}. Put "
            "it beside the program that starts the server or in the model's folder code, or pass "
            "its path: start_model_server(handler_service='/path/to/service.py')"
        )
        raise StartError(message) from None


def _new_context(model_name: str, model_dir: str, gpu_id: int | None, batch_size: int) -> Any:
    import mms
    from mms.context import Context

    path = Path(model_dir, "MAR-INF", "MANIFEST.json")
    manifest = json.loads(path.read_text()) if path.is_file() else None
    return Context(model_name, model_dir, manifest, batch_size, gpu_id, mms.__version__)


def _only_class(module: ModuleType, name: str) -> Callable[[], Any]:
    classes: list[Callable[[], Any]] = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        message = (
            f"the handler service {name!r} defines {len(classes)} classes and no function "
            "'handle'. Define exactly one class with handle(data, context), or name the function: "
            f"{name}:function"
        )
        raise StartError(message)
    return classes[0]


def _headers(request: Request) -> dict[str, Any]:
    """MMS's dict, in which the name of a part maps to its type, and of a header to its value."""
    headers: dict[str, Any] = {
        part.name: {"content-type": part.content_type} for part in request.parts
    }
    headers.update(request.headers)
    return headers


def _value(part: Part) -> bytearray:
    return bytearray(part.value)


def _text(result: Any) -> bytes:
    return (result if isinstance(result, str) else json.dumps(result)).encode()


def _failure(error: BaseException) -> BaseInferenceToolkitError:
    if isinstance(error, BaseInferenceToolkitError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError("Memory ran out during this request.")
    return from_prediction_exception(error) or PredictionError(
        "The handler service failed on this request. Search the endpoint's log for the request id "
        "to find the cause."
    )


def from_prediction_exception(error: BaseException) -> BaseInferenceToolkitError | None:
    """MMS's ``PredictionException(message, error_code)`` as one of our errors; else None."""
    # Looked up in sys.modules: if user code raised it, its module is imported.
    exception = getattr(sys.modules.get("mms.service"), "PredictionException", ())
    if not isinstance(error, exception):
        return None
    code, message = getattr(error, "error_code", 500), getattr(error, "message", "")
    return BaseInferenceToolkitError(code, str(message), None)


def read_requests(data: Sequence[Any], context: Any) -> list[Request]:
    """The requests that MMS's stock back end passes to a service."""
    requests = []
    for index, fields in enumerate(data):
        properties = context.request_processor[index].get_request_properties() or {}
        headers = Headers(
            (name, value) for name, value in properties.items() if isinstance(value, str)
        )
        parts = []
        for name, value in fields.items():
            content_type = _part_type(properties, name, headers)
            parts.append(Part(name, content_type, _encoded(value, content_type)))
        request_id = str((context.request_ids or {}).get(index, ""))
        requests.append(_from_parts(request_id, headers, parts))
    return requests


def _from_parts(request_id: str, headers: Headers, parts: list[Part]) -> Request:
    """A request from the parts that MMS passes; it parses forms itself."""
    is_form = content_types.is_form(headers.content_type)
    for part in parts:
        # A form may have a field named "body".
        if part.name == BODY and not (is_form and not content_types.is_form(part.content_type)):
            others = [other for other in parts if other is not part]
            return Request(request_id, headers, part.value, others)
    return Request(request_id, headers, fields=parts)


def answer_failed_load(requests: Sequence[Request], context: Any, error: Exception) -> list[Any]:
    """Tell each client that the model could not be loaded; the reason is logged."""
    logger.error("the model could not be loaded", exc_info=users_exc_info(error))
    failure = _failure(error)
    if isinstance(failure, PredictionError):
        failure = PredictionError(
            "The model could not be loaded; the endpoint's log has the cause. "
            "The next request retries.",
            code=ErrorCode.MODEL_NOT_LOADED.value,
        )
    responses = [error_response(failure, request.id, request.accept) for request in requests]
    return write_responses(responses, context)


def answer_error(context: Any, error: BaseInferenceToolkitError | int, trace: str) -> list[Any]:
    """Answer all requests of a batch with an error; its traceback is logged.

    AWS's XGBoost container passes a status and a message in place of an error and a traceback.
    """
    if isinstance(error, int):
        error, trace = BaseInferenceToolkitError(int(error), str(trace), None), ""
    by_index = context.request_ids
    ids = [str(id_) for id_ in by_index.values()] if isinstance(by_index, dict) else []
    ids = ids or [""]
    if trace or error_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("requests %s failed\n%s", ids, trace or error.message)
    return write_responses([error_response(error, id_) for id_ in ids], context)


def write_responses(responses: Sequence[Response], context: Any) -> list[Any]:
    """Set headers and statuses on MMS's context, and return the bodies."""
    for index, response in enumerate(responses):
        context.set_response_content_type(index, response.content_type)
        for name, value in response.headers.items():
            context.set_response_header(index, name, str(value))
        context.set_response_status(int(response.status), response.phrase, index)
    # Multi Model Server cannot stream.
    return [whole_body(response) for response in responses]


def _part_type(properties: Any, name: str, headers: Headers) -> str:
    part_headers = properties.get(name)
    if isinstance(part_headers, dict):
        return str(part_headers.get("content-type", ""))
    return headers.content_type


def _encoded(value: Any, content_type: str) -> Body:
    """The bytes of a value; MMS decodes JSON and text (``mms/protocol``)."""
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, str) and content_type != content_types.JSON:
        return value.encode()
    return json.dumps(value).encode()
