import importlib
import sys

import pytest

import sagemaker_inference
from sagemaker_inference import (
    decoder,
    default_registry,
    encoder,
    model_loader,
    predictor,
    transformer,
)
from sagemaker_inference._program import roles


def two(first, second): ...


@pytest.fixture(autouse=True)
def isolated():
    with default_registry.isolated():
        yield


def test_the_decorators_are_the_default_registrys():
    for name in (
        "model_loader",
        "predictor",
        "before_load",
        "warmup",
        "health_check",
        "on_shutdown",
    ):
        assert getattr(sagemaker_inference, name) == getattr(default_registry, name)


def test_decoder_and_encoder_are_decorators_and_modules():
    assert decoder("text/csv")(two) is two
    assert encoder("text/csv")(two) is two
    assert sys.modules["sagemaker_inference.decoder"] is decoder
    assert decoder.decode(b"[1]", "application/json").tolist() == [1]
    assert encoder.encode([1], "application/json") == "[1]"
    (found,) = default_registry.find(roles.DECODER)
    assert found.content_types == ("text/csv",)


def test_transformer_is_a_decorator_bare_and_called_and_a_module():
    assert transformer(two) is two
    assert transformer()(two) is two
    assert sys.modules["sagemaker_inference.transformer"] is transformer
    assert transformer.Transformer.__name__ == "Transformer"


def test_a_reloaded_module_is_still_a_decorator():
    importlib.reload(decoder)
    assert decoder("text/csv")(two) is two


def test_a_whole_program_registers():
    model_loader(lambda: None)
    predictor(lambda data: data)
    assert default_registry.find(roles.PREDICTOR)


def test_serve_and_context_come_when_asked_for(monkeypatch):
    from sagemaker_inference._http.context import Context
    from sagemaker_inference.model_server import serve

    for name, value in {"serve": serve, "Context": Context}.items():
        monkeypatch.delitem(vars(sagemaker_inference), name, raising=False)
        assert getattr(sagemaker_inference, name) is value
        assert vars(sagemaker_inference)[name] is value


def test_an_unknown_name_is_none_of_the_packages():
    with pytest.raises(AttributeError, match="has no attribute 'predictr'"):
        _ = sagemaker_inference.predictr
