"""Functions written for MMS's context go on working with ours."""

import inspect

import mms.context
import pytest

from sagemaker_inference._http.context import Context

METHODS = [
    name
    for name, _ in inspect.getmembers(mms.context.Context, inspect.isfunction)
    if not name.startswith("_")
]
PROPERTIES = [
    name
    for name, found in inspect.getmembers(mms.context.Context)
    # Its metrics go to a log that only MMS's stock back end writes.
    if isinstance(found, property) and name != "metrics"
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


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_of_mms_is_there(name):
    assert hasattr(Context("/m"), name)


def test_system_properties_have_mms_keys():
    theirs = mms.context.Context("model", "/m", None, 1, None, "1").system_properties
    assert set(Context("/m").system_properties) >= set(theirs) - {"server_version"}
