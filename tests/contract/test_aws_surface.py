"""The names that AWS's toolkits and users' containers touch, and how they are called."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sagemaker_inference
from sagemaker_inference import model_server, parameters, utils
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

NAMES = {
    "content_types": "JSON CSV NPY NPZ ANY OCTET_STREAM UTF8_TYPES",
    "decoder": "decode _npy_to_numpy _csv_to_numpy _npz_to_sparse _json_to_numpy _decoder_map",
    "encoder": "encode SUPPORTED_CONTENT_TYPES _array_to_npy _array_to_json _array_to_csv",
    "errors": "UnsupportedFormatError BaseInferenceToolkitError GenericInferenceToolkitError",
    "utils": "parse_accept retrieve_content_type_header read_file write_file remove_crlf",
    "logging": "get_logger configure_logger",
    "environment": "base_dir model_dir code_dir Environment",
    "default_inference_handler": "DefaultInferenceHandler",
    "default_handler_service": "DefaultHandlerService",
    "transformer": "Transformer",
    "model_server": (
        "start_model_server DEFAULT_HANDLER_SERVICE DEFAULT_MMS_LOG_FILE DEFAULT_MMS_MODEL_NAME "
        "ENABLE_MULTI_MODEL MMS_CONFIG_FILE REQUIREMENTS_PATH _add_sigchild_handler "
        "_add_sigterm_handler _create_model_server_config_file _install_requirements "
        "_retry_retrieve_mms_server_process _set_python_path"
    ),
}


@pytest.mark.parametrize("module", NAMES)
def test_a_name_is_there(module):
    found = importlib.import_module(f"sagemaker_inference.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (utils.read_file, "path mode"),
        (utils.write_file, "path data mode"),
        (utils.retrieve_content_type_header, "request_property"),
        (utils.parse_accept, "accept"),
        (utils.remove_crlf, "illegal_string"),
        (model_server.start_model_server, "handler_service"),
        (model_server._create_model_server_config_file, "env handler_service"),
        (model_server._add_sigterm_handler, "mms_process"),
        (model_server._retry_retrieve_mms_server_process, "startup_timeout"),
        (Transformer, "default_inference_handler"),
        (Transformer.transform, "self data context"),
        (Transformer.validate_and_initialize, "self model_dir context"),
        (Transformer.handle_error, "context inference_exception trace"),
        (
            Transformer._default_transform_fn,
            "self model input_data content_type accept context",
        ),
        (DefaultHandlerService, "transformer"),
        (DefaultHandlerService.handle, "self data context"),
        (DefaultHandlerService.initialize, "self context"),
        (DefaultInferenceHandler.default_model_fn, "self model_dir context"),
        (DefaultInferenceHandler.default_input_fn, "self input_data content_type context"),
        (DefaultInferenceHandler.default_predict_fn, "self data model context"),
        (DefaultInferenceHandler.default_output_fn, "self prediction accept context"),
    ],
)
def test_a_function_has_the_parameters_of_awss(function, names):
    assert list(inspect.signature(function).parameters) == names.split()


def test_there_are_the_names_of_thirteen_variables():
    assert len([name for name in vars(parameters) if name.isupper()]) == 13


def test_the_default_service_is_a_module_with_one_class():
    assert model_server.DEFAULT_HANDLER_SERVICE == "sagemaker_inference.default_handler_service"
    assert DefaultHandlerService.__module__ == model_server.DEFAULT_HANDLER_SERVICE


@pytest.mark.parametrize("name", ["default-mms.properties", "mme-mms.properties", "log4j2.xml"])
def test_a_file_is_in_the_package(name):
    assert Path(sagemaker_inference.__file__).with_name("etc").joinpath(name).is_file()


def test_the_log_configuration_of_the_stock_server_is_a_file():
    assert Path(model_server.DEFAULT_MMS_LOG_FILE).is_file()


def test_a_handler_that_is_its_service_too_answers(tmp_path):
    class Both(DefaultHandlerService, DefaultInferenceHandler):
        def __init__(self):
            self._service = Transformer(default_inference_handler=self)

    assert Both()._service._default_inference_handler is not None


def test_requirements_fail_as_a_value_error_of_awss_words(monkeypatch):
    def refuse(command, **options):
        assert "pip" in command[2]
        assert command[3:-1] == ["install", "-r", model_server.REQUIREMENTS_PATH, "-c"]
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "check_call", refuse)
    with pytest.raises(ValueError, match="failed to install required packages"):
        model_server._install_requirements()


def test_the_code_folder_is_on_pythonpath_once(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/a")
    monkeypatch.setattr(sys, "path", list(sys.path))
    for _ in range(2):
        model_server._set_python_path()
    assert model_server.os.environ["PYTHONPATH"] == "/opt/ml/model/code:/a"


def test_the_stop_signal_is_passed_on(monkeypatch):
    handlers, killed = {}, []
    monkeypatch.setattr(model_server.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(model_server.os, "kill", lambda *args: killed.append(args))
    model_server._add_sigterm_handler(type("Process", (), {"pid": 7}))
    handlers[15](15, None)
    assert killed == [(7, 15)]


def test_an_unknown_name_of_the_server_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = model_server.nothing
