"""Who answers a request, and what: as the server's front end, its supervisor and a worker do.

The texts are those of the front end (``Router.java``); a test compares them.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import (
    GenericInferenceToolkitError,
    ModelNotFoundError,
    PredictionTimeoutError,
    ServiceUnavailableError,
)
from sagemaker_inference._http import execution_parameters, openai_models, pings
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference.paths import not_found
from sagemaker_inference._ipc.messages import MODEL_NAME
from sagemaker_inference._log import get_logger
from sagemaker_inference._program.paths import INVOCATIONS, OPENAI_MODELS, OPENAPI
from sagemaker_inference.asgi._exchange import ClientGone, model_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_inference._errors import BaseInferenceToolkitError
    from sagemaker_inference.asgi._counts import Counts
    from sagemaker_inference.asgi._exchange import Exchange
    from sagemaker_inference.asgi._model_thread import ModelThread

PING: Final = "/ping"
METRICS: Final = "/metrics"
_OTHER: Final = "other"
_WITH_PAGE: Final = ("prometheus", "both")
# Names one of many models, for requests to /invocations.
_MODEL_HEADER: Final = "x-amzn-sagemaker-target-model"
_MODEL_PARAMETER: Final = "model_name"
# An async request is given up by its event loop; only one that is stuck needs anybody else.
_ASYNC_PATIENCE: Final = 5.0
_RETRY_AFTER: Final = "Retry-After"
_NOT_LOADED: Final = "No model is loaded yet"

logger = get_logger()


class Routes:
    """Answers requests for one model.

    Args:
        model: the model.
        counts: what has been counted of requests.
    """

    def __init__(self, model: ModelThread, counts: Counts) -> None:
        self._model = model
        self._counts = counts
        self.config = model.config

    @property
    def _has_page(self) -> bool:
        return self.config.metrics in _WITH_PAGE

    def label(self, path: str) -> str:
        """How metrics call a path."""
        if path in (PING, INVOCATIONS, execution_parameters.PATH):
            return path
        if self._is_page(path):
            return path
        if path in self._paths or self._is_openai_models(path):
            return path
        if model_of(path) is None:
            return _OTHER
        return "/models/*/invoke" if path.startswith("/models/") else "/predictions/*"

    def _is_page(self, path: str) -> bool:
        return (path == METRICS and self._has_page) or (path == OPENAPI and self._model.has_docs)

    @property
    def _paths(self) -> Sequence[str]:
        """The paths of the program; none before it is loaded."""
        handler = self._model.handler
        return () if handler is None else handler.paths

    def _is_openai_models(self, path: str) -> bool:
        return path == OPENAI_MODELS and openai_models.are_listed(self._paths)

    async def answer(self, exchange: Exchange) -> Response:
        """Answer a request; a failure is a response."""
        try:
            return await self._answer(exchange)
        except ClientGone:
            raise
        except Exception:
            logger.exception("request %s failed", exchange.id)
            failure = GenericInferenceToolkitError(500, "The server failed")
            return _error(exchange, failure)

    async def _answer(self, exchange: Exchange) -> Response:
        path = exchange.path
        if exchange.problem is not None:
            return _error(exchange, exchange.problem)
        if path == PING:
            return self._ping(exchange)
        is_page = self._is_page(path)
        if is_page or path == execution_parameters.PATH or self._is_openai_models(path):
            return self._read(exchange)
        name = _target_model(exchange) if path == INVOCATIONS else model_of(path)
        if name is not None or path == INVOCATIONS or path in self._paths:
            return await self._invoke(exchange, name)
        if not self._model.is_loaded:
            return self._not_loaded(exchange)
        return _error(exchange, not_found(path))

    def _not_loaded(self, exchange: Exchange, message: str = _NOT_LOADED) -> Response:
        failure = self._model.failure
        if failure:  # to try again is of no use
            return _error(exchange, ServiceUnavailableError(failure))
        return _unavailable(exchange, message)

    def _ping(self, exchange: Exchange) -> Response:
        methods = ("GET", "HEAD", "POST")
        if exchange.method not in methods:
            return _wrong_method(exchange, "this path takes", ", ".join(methods))
        state = self.state
        if state == "healthy":
            return Response(b"", "")
        model = self._model
        line = pings.critical(model.problem)
        if state == "initializing":
            line = pings.initializing(model.phase, model.since)
        return Response(line.encode(), content_types.JSON, status=HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def state(self) -> pings.State:
        """The state of the endpoint."""
        if self._model.problem:
            return "critical"
        return "healthy" if self._model.is_loaded else "initializing"

    def _metrics(self) -> Response:
        # What only a scrape needs takes as long to import as the rest of a test client.
        from sagemaker_inference.asgi._page import CONTENT_TYPE, page

        return Response(page(self._counts, self._model, self.state), CONTENT_TYPE)

    def _parameters(self, exchange: Exchange) -> Response:
        handler = self._model.handler
        if handler is None:
            return self._not_loaded(exchange, execution_parameters.NOT_LOADED)
        found = execution_parameters.parameters(
            self.config, 1, handler.concurrency.limit, reads_rows=handler.reads_rows
        )
        return Response(json.dumps(found).encode(), content_types.JSON)

    def _read(self, exchange: Exchange) -> Response:
        path = exchange.path
        if exchange.method not in ("GET", "HEAD"):
            return _wrong_method(exchange, f"{path} takes", "GET and HEAD", "GET, HEAD")
        if path == METRICS:
            return self._metrics()
        if path == OPENAPI:
            if not self._model.document or self._model.failure:
                return self._not_loaded(exchange)
            return Response(self._model.document, content_types.JSON)
        return self._parameters(exchange) if path != OPENAI_MODELS else self._list_models()

    def _list_models(self) -> Response:
        found = openai_models.models(MODEL_NAME, int(self._model.loaded_at))
        return Response(json.dumps(found).encode(), content_types.JSON)

    async def _invoke(self, exchange: Exchange, name: str | None) -> Response:
        refusal = self._refusal(exchange, name)
        if refusal is not None:
            return refusal
        limit = self.config.max_queue_size
        if self._model.waiting >= limit:
            message = f"The queue is full: {limit} request(s) are waiting"
            return _unavailable(exchange, message, "1")
        return await self._predict(exchange)

    def _refusal(self, exchange: Exchange, name: str | None) -> Response | None:
        """Why a request does not reach the model; None if it does."""
        is_post = exchange.method == "POST"
        if exchange.path == INVOCATIONS and not is_post:
            return _wrong_method(exchange, "this path takes", "POST")
        is_ours = name == MODEL_NAME and INVOCATIONS in self._paths
        if name is not None and not is_ours and not self._model.failure:
            return _error(exchange, ModelNotFoundError(f"Model {name} is not loaded"))
        if not is_post:
            return _wrong_method(exchange, "this path takes", "POST")
        if not self._model.is_loaded:
            return self._not_loaded(exchange)
        if name is None and exchange.path not in self._paths:
            return _error(exchange, not_found(exchange.path))
        return None

    async def _predict(self, exchange: Exchange) -> Response:
        work = self._model.submit(exchange.request)
        patience = limit = self.config.timeout
        is_async = self._model.declared.is_async
        # A thread cannot be ended, but nobody waits for it any more.
        most = limit + _ASYNC_PATIENCE if is_async else limit
        while not await exchange.wait_for(work, patience):
            if work.answer.cancel():
                return _too_late(exchange, f"No worker took the request within {limit:g} s")
            patience = (work.began or 0.0) + most - monotonic()
            if patience <= 0:
                work.is_late = True
                work.abandon()
                return _too_late(exchange, f"No prediction within {limit:g} s.")
        return work.answer.result()


def _target_model(exchange: Exchange) -> str | None:
    for part in exchange.parameters:
        if part.name == _MODEL_PARAMETER:
            return bytes(part.value).decode()
    return exchange.headers.get(_MODEL_HEADER)


def _error(
    exchange: Exchange,
    error: BaseInferenceToolkitError,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return error_response(error, exchange.id, exchange.headers.accept, headers, exchange.path)


def _too_late(exchange: Exchange, message: str) -> Response:
    logger.error("request %s was given up: %s", exchange.id, message)
    return _error(exchange, PredictionTimeoutError(message))


def _refusal(
    exchange: Exchange, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    return _error(exchange, GenericInferenceToolkitError(status, message), headers)


def _wrong_method(exchange: Exchange, subject: str, methods: str, allow: str = "") -> Response:
    if exchange.is_preflight:
        return Response(b"", "")
    message = f"The method is {exchange.method}; {subject} {methods}"
    headers = {"Allow": allow or methods}
    return _refusal(exchange, HTTPStatus.METHOD_NOT_ALLOWED, message, headers)


def _unavailable(
    exchange: Exchange, message: str, seconds: str = execution_parameters.RETRY_SECONDS
) -> Response:
    return _error(exchange, ServiceUnavailableError(message), {_RETRY_AFTER: seconds})
