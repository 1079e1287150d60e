"""What tests of the ASGI application share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.asgi_sockets import echo

from sagemaker_inference import asgi, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference import Registry


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Metrics of this test only."""
    metrics.reset()
    yield
    metrics.reset()


@pytest.fixture
def doubles(registry: Registry) -> asgi.Application:
    """An application that is not started."""
    registry.model_loader(lambda: 2)
    registry.predictor(lambda data, model: data * model)
    return asgi.app(registry)


@pytest.fixture
def application(registry: Registry) -> asgi.Application:
    """One that answers over WebSockets, too; it is not started."""
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    registry.bidirectional(max_message=1 << 19)(echo)
    return asgi.app(registry)
