"""Functions written for MMS's context go on working with ours."""

import copy
import inspect
import logging
from importlib import metadata

import mms.context
import pytest
from mms.metrics.metrics_store import MetricsStore

from sagemaker_inference import assemble
from sagemaker_inference._http.context import Context, _server_version
from sagemaker_inference._http.messages import Headers, Request
from sagemaker_inference._inference.inference_handler import run_without_loop

METHODS = [
    name
    for name, _ in inspect.getmembers(mms.context.Context, inspect.isfunction)
    if not name.startswith("_")
]
PROPERTIES = [
    name for name, found in inspect.getmembers(mms.context.Context) if isinstance(found, property)
]
PROCESSOR_METHODS = [
    name
    for name, _ in inspect.getmembers(mms.context.RequestProcessor, inspect.isfunction)
    if not name.startswith("_")
]
# What their instances have beside that, private names included: XGBoost's container reads some.
STORED = [
    *vars(mms.context.Context("model", "/m", None, 1, None, "1")),
    *vars(mms.context.RequestProcessor({})),
]


def test_there_is_something_to_compare():
    assert "get_request_header" in METHODS
    assert "system_properties" in PROPERTIES


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_mms_is_there_with_its_parameters(name):
    theirs = inspect.signature(getattr(mms.context.Context, name)).parameters
    ours = inspect.signature(getattr(Context, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for parameter in theirs.values():
        if parameter.default is not parameter.empty:
            assert ours[parameter.name].default == parameter.default


@pytest.mark.parametrize("name", PROCESSOR_METHODS)
def test_a_method_of_mms_request_processor_is_there_with_its_parameters(name):
    theirs = inspect.signature(getattr(mms.context.RequestProcessor, name)).parameters
    ours = inspect.signature(getattr(Context("/m").request_processor[0].__class__, name)).parameters
    # Ours may ask for an index first, as the same method of MMS's context does.
    required = [item for item in ours.values() if item.default is item.empty]
    assert [item.name for item in required][: len(theirs)] == [
        item.name for item in theirs.values() if item.default is item.empty
    ]
    assert set(theirs) <= set(ours)


@pytest.mark.parametrize("name", [*PROPERTIES, *STORED])
def test_a_property_of_mms_is_there(name):
    assert hasattr(Context("/m"), name)


def processors():
    return mms.context.RequestProcessor({"X-A": "1"}), Context(
        request=Request("id", Headers([("X-A", "1")]))
    )


@pytest.mark.parametrize("processor", processors(), ids=["theirs", "ours"])
def test_a_request_processor_has_the_values_of_mms(processor):
    assert processor.get_response_status_code() == processor._status_code == 200
    assert processor.get_response_status_phrase() is processor._reason_phrase is None
    assert processor.get_response_header("X-B") is None
    processor.report_status(201, reason_phrase="Made")
    assert (processor._status_code, processor.get_response_status_phrase()) == (201, "Made")
    processor.report_status(202)
    assert processor.get_response_status_phrase() is None
    processor.add_response_property("X-B", "2")
    assert processor._response_header["X-B"] == processor.get_response_header("X-B") == "2"
    assert processor.get_response_headers()["X-B"] == "2"
    processor.add_response_property("content-type", "a/b")
    assert processor.get_response_header("content-type") == "a/b"
    assert processor._request_header["X-A"] == processor.get_request_property("X-A") == "1"


def test_a_content_type_that_is_set_as_a_header_is_that_of_the_response():
    context = Context()
    context.set_response_header(0, "Content-Type", "a/b")
    assert context.get_response_content_type(0) == context.response_content_type == "a/b"
    assert context.response_headers == {}


def test_metrics_are_those_of_mms_and_are_logged_after_the_request(registry, caplog):
    @registry.model_loader
    def load(context):
        return context.metrics

    @registry.predictor
    def predict(data, model, context):
        context.metrics.add_counter("rows", 3, idx=0)
        context.metrics.add_counter("rows", 4, idx=0)
        assert isinstance(context.metrics, MetricsStore)

    handler = assemble(registry)
    handler.load("/m")
    assert handler.model is None
    with caplog.at_level(logging.INFO, "mms"):
        run_without_loop(handler.answer([Request.from_body(b"[1]", "application/json", id="id-1")]))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mms.service"]
    assert line.startswith("[METRICS]rows.Count:7|#ModelName:model,Level:Model|")
    assert line.endswith(",id-1")


def test_hooks_without_a_request_get_the_context_of_the_load(registry):
    seen = []

    @registry.model_loader
    def load(context):
        context.mine = 7

    @registry.predictor
    def predict(data): ...

    @registry.health_check
    def check(model, context):
        seen.append(context.mine)

    @registry.on_shutdown
    def stop(model, context):
        seen.append(context.mine)

    handler = assemble(registry)
    handler.load("/m")
    assert handler.is_healthy()
    handler.close()
    assert seen == [7, 7]


def test_metrics_may_be_replaced_and_those_of_mms_own_context_come_first():
    outer = mms.context.Context("model", "/m", {"a": 1}, 1, None, "1")
    outer.metrics = object()
    context = Context().within(outer).for_request(Request("", Headers()), pytest.fail)
    assert context.metrics is outer.metrics
    assert context.own_metrics is None
    context.metrics = replaced = object()
    assert context.metrics is context.own_metrics is replaced
    # The name of MMS's attribute, which a handler may set as well.
    context._metrics = other = object()
    assert context._metrics is context.metrics is other


def test_what_neither_has_is_an_attribute_error_that_names_it():
    outer = mms.context.Context("model", "/m", {"a": 1}, 1, None, "1")
    loaded = Context().within(outer)
    loaded.mine = 7
    context = loaded.for_request(Request("", Headers()), pytest.fail)
    outer.theirs = 8
    assert (context.mine, context.theirs, loaded.manifest) == (7, 8, {"a": 1})
    with pytest.raises(AttributeError, match="the context has no attribute 'nowhere'"):
        _ = context.nowhere
    assert copy.copy(context).mine == 7


def test_without_the_package_of_mms_its_version_is_empty(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    _server_version.cache_clear()
    try:
        assert Context().system_properties["server_version"] == ""
    finally:
        _server_version.cache_clear()


def test_system_properties_have_mms_keys():
    theirs = mms.context.Context("model", "/m", None, 1, None, "1").system_properties
    assert set(Context("/m").system_properties) == set(theirs)
