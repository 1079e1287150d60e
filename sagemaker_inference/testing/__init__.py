"""Test a program as an endpoint: in this process, or behind the real server.

>>> from sagemaker_inference import Registry
>>> from sagemaker_inference.testing import TestClient
>>> registry = Registry()
>>> load = registry.model_loader(lambda: 2)
>>> double = registry.predictor(lambda data, model: data * model)
>>> with TestClient(registry) as client:
...     client.invoke([1, 2]).json()
[2, 4]

The fixtures ``sagemaker_endpoint`` and ``sagemaker_server`` of pytest are a `TestClient` and a
`ServerProcess`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference.testing._client import Client
from sagemaker_inference.testing._in_process import TestClient
from sagemaker_inference.testing._reply import Reply

if TYPE_CHECKING:
    from sagemaker_inference.testing._server_process import ServerProcess
    from sagemaker_inference.testing._stream import ServerSentEvent, Stream
    from sagemaker_inference.testing._websocket import WebSocket, WebSocketClosed

__all__ = [
    "Client",
    "Reply",
    "ServerProcess",
    "ServerSentEvent",
    "Stream",
    "TestClient",
    "WebSocket",
    "WebSocketClosed",
]


_LAZY: Final = {
    "ServerProcess": "_server_process",
    "ServerSentEvent": "_stream",
    "Stream": "_stream",
    "WebSocket": "_websocket",
    "WebSocketClosed": "_websocket",
}


def __getattr__(name: str) -> Any:
    # Most tests need no process, and what starts one takes as long to import as all the rest.
    module = _LAZY.get(name)
    if module is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
