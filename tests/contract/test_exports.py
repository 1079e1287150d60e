"""The public surface: a change here is a change for users."""

import importlib
from importlib.metadata import entry_points, version

import pytest

import sagemaker_inference
from sagemaker_inference import Context, Registry

SURFACE = [
    "Context",
    "Fragment",
    "InferenceHandler",
    "Registry",
    "Request",
    "Response",
    "Upload",
    "assemble",
    "before_load",
    "bidirectional",
    "decoder",
    "default_registry",
    "encoder",
    "health_check",
    "model_loader",
    "on_shutdown",
    "predictor",
    "serve",
    "session_end",
    "session_start",
    "transformer",
    "warmup",
]


def test_the_package_exports_these_names_and_no_others():
    assert sagemaker_inference.__all__ == SURFACE
    for name in SURFACE:
        assert getattr(sagemaker_inference, name) is not None


def test_the_version_is_the_distributions():
    assert sagemaker_inference.__version__ == version("sagemaker-inference")


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_a_registry_has_these_methods_and_no_others():
    decorators = {
        "before_load",
        "bidirectional",
        "decoder",
        "encoder",
        "health_check",
        "model_loader",
        "on_shutdown",
        "predictor",
        "session_end",
        "session_start",
        "transformer",
        "warmup",
    }
    assert public(Registry) == decorators | {
        "add",
        "attempt",
        "close",
        "find",
        "is_closed",
        "is_empty",
        "isolated",
        "reset",
    }


def test_a_context_has_these_properties():
    ours = {
        "accept",
        "content_type",
        "custom_attributes",
        "headers",
        "inference_id",
        "parts",
        "request_id",
    }
    assert ours <= public(Context)
    attributes = {"gpu_id", "model_dir", "model_name", "response_headers", "status"}
    assert attributes <= set(vars(Context("/m")))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("asgi", "app Application"),
        ("testing", "TestClient ServerProcess Reply Client"),
        ("content_types", "JSON CSV NPY NPZ ANY OCTET_STREAM UTF8_TYPES"),
        ("decoder", "decode _npy_to_numpy _csv_to_numpy _npz_to_sparse _json_to_numpy"),
        ("encoder", "encode SUPPORTED_CONTENT_TYPES _array_to_npy _array_to_json _array_to_csv"),
        ("environment", "base_dir model_dir code_dir Environment"),
        ("errors", "BaseInferenceToolkitError GenericInferenceToolkitError UnsupportedFormatError"),
        ("logging", "get_logger configure_logger"),
        ("transformer", "Transformer"),
        ("default_handler_service", "DefaultHandlerService"),
        ("model_server", "start_model_server serve DEFAULT_HANDLER_SERVICE"),
    ],
)
def test_names_that_others_import_are_there(module, names):
    found = importlib.import_module(f"sagemaker_inference.{module}")
    assert [name for name in names.split() if not hasattr(found, name)] == []


def test_the_command_is_installed():
    (command,) = entry_points(group="console_scripts", name="sagemaker-inference")
    assert command.load() is importlib.import_module("sagemaker_inference.__main__").main
