"""Programs for the tests of the inference handler."""

import pytest


@pytest.fixture
def doubling(registry):
    """A program that doubles numbers."""
    registry.model_loader(lambda: 2)
    registry.predictor(lambda data, model: data * model)
    return registry
