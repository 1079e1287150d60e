"""Handlers of SageMaker Distribution: one function that takes a request and returns its answer.

AWS's images of that name serve such a function, and the SDK's ModelBuilder writes programs with one
(``ModelServer.SMD``). SAGEMAKER_INFERENCE_CODE names it: ``inference.handler``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program import roles
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.codecs import json

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._http.messages import Headers
    from sagemaker_inference._program.registry import Registry


@dataclass(frozen=True, slots=True)
class HandlerRequest:
    """What such a function gets: the two attributes of Tornado's request that it needs.

    Attributes:
        body: the bytes.
        headers: the client's headers; look-ups are case-insensitive.
    """

    body: bytes
    headers: Headers


def adopt(registry: Registry, module: ModuleType, name: str) -> None:
    """Register the function, as a transformer without a model.

    Args:
        registry: the registry to add it to.
        module: the program.
        name: the function's.

    Raises:
        RegistrationError: there is no such function, or the program has decorated others.
    """
    function = getattr(module, name, None)
    variable = _variables.INFERENCE_CODE
    if not callable(function):
        message = (
            f"{variable.name}={variable.text!r}: {module.__file__} has no function {name!r}. Add "
            f"one: async def {name}(request): return request.body"
        )
        raise RegistrationError(message)
    if any(item.handler.function is function for item in registry.find(roles.TRANSFORMER)):
        return
    if not registry.is_empty:
        message = (
            f"{variable.name}={variable.text!r} names the function that answers requests, but "
            f"{module.__file__} registers others by decorators. Unset the variable."
        )
        raise RegistrationError(message)
    # It is what AWS's servers load: the import of its module loads the model.
    loader = Handler.from_function(roles.MODEL_LOADER, lambda: function)
    registry.add(Registration(loader))
    handler = Handler.from_function(roles.TRANSFORMER, _transformer(function))
    registry.add(Registration(replace(handler, function=function)))


def _transformer(function: Callable[[HandlerRequest], Any]) -> Callable[..., Any]:
    def transform_with_handler(
        _model: Any, body: bytes, _content_type: str, _accept: str, context: Context
    ) -> Any:
        return _answer(function(HandlerRequest(body, context.headers)))

    async def await_handler(
        _model: Any, body: bytes, _content_type: str, _accept: str, context: Context
    ) -> Any:
        result = function(HandlerRequest(body, context.headers))
        return _answer(await result if inspect.isawaitable(result) else result)

    # Async generators are read in an event loop as well.
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return await_handler if is_async else transform_with_handler


def _answer(result: Any) -> Any:
    """What a transformer returns for what AWS's server sends for this result."""
    if isinstance(result, dict):
        return json.encode(result), content_types.JSON
    if isinstance(result, Iterator):
        return _chunks(result), content_types.EVENT_STREAM
    if isinstance(result, AsyncIterator):
        return _async_chunks(result), content_types.EVENT_STREAM
    return result


def _chunks(items: Iterator[Any]) -> Iterator[Any]:
    try:
        for item in items:
            # AWS's server ends there: some iterators do not stop, and return nothing from then on.
            if not item:
                return
            yield _chunk(item)
    finally:
        if (close := getattr(items, "close", None)) is not None:
            close()


async def _async_chunks(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for item in items:
            yield _chunk(item)
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()


def _chunk(item: Any) -> Any:
    """An item as it is sent, without a frame around it: the program frames its events."""
    if isinstance(item, str):
        return item.encode()
    return json.encode(item) if isinstance(item, dict) else item
