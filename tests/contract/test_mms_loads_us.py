"""MMS's own loader and service drive our handler service, as its stock back end does."""

import sys

import pytest
from mms.model_loader import ModelLoaderFactory
from mms.protocol.otf_message_handler import retrieve_msg
from support import mms_bytes

PROGRAM = """
from sagemaker_inference import errors, model_loader, predictor

@model_loader
def load(model_dir):
    return 10

@predictor
def predict(data, model, context):
    if isinstance(data, str):
        raise errors.TooManyRequestsError("come back later")
    context.custom_attributes = f"seen={context.custom_attributes}"
    return data * model
"""
HANDLER = "sagemaker_inference.default_handler_service"


@pytest.fixture
def service(program, tmp_path):
    program(PROGRAM, "code/inference.py")
    loader = ModelLoaderFactory.get_model_loader(str(tmp_path))
    return loader.load("model", str(tmp_path), HANDLER, None, 2)


class Bytes:
    """A socket that has received these bytes."""

    def __init__(self, data):
        self._data = data

    def recv(self, length):
        found, self._data = self._data[:length], self._data[length:]
        return found


def predict(service, *requests):
    """What the front end reads for a message that it sent."""
    _, batch = retrieve_msg(Bytes(mms_bytes.predict(*requests)))
    status, _, answers = mms_bytes.Reader(bytes(service.predict(batch))).reply()
    assert status == 200
    return answers


def asked(request_id, body, content_type="application/json", accept="application/json"):
    headers = [
        ("Content-Type", content_type),
        ("Accept", accept),
        ("X-Amzn-SageMaker-Custom-Attributes", request_id),
    ]
    return mms_bytes.request(request_id, headers, [("body", content_type, body)])


def test_the_handler_module_has_one_class_and_no_function(service):
    module = sys.modules[HANDLER]
    own = [
        name for name, found in vars(module).items() if getattr(found, "__module__", "") == HANDLER
    ]
    assert own == ["DefaultHandlerService"]
    assert not hasattr(module, "handle")


# MMS decodes JSON and text bodies itself unless told not to; our front end tells it.
@pytest.mark.parametrize("decode", ["true", "false"])
def test_a_batch_is_answered_request_by_request(service, monkeypatch, decode):
    monkeypatch.setenv("MMS_DECODE_INPUT_REQUEST", decode)
    good, other, bad, guilty = predict(
        service,
        asked("1", b"[1, 2]"),
        asked("2", b"3\n", "text/csv", "text/csv"),
        asked("3", b"[1]", "image/gif"),
        asked("4", b'"raise"'),
    )
    assert (good.request_id, good.status, good.phrase, good.body) == ("1", 200, "OK", b"[10,20]")
    assert good.headers == {
        "content-type": "application/json",
        "X-Amzn-SageMaker-Custom-Attributes": "seen=1",
    }
    assert (other.content_type, other.body) == ("text/csv", b"30\n")
    assert bad.status == 415
    assert (guilty.status, guilty.phrase) == (429, "Too Many Requests")
    assert b"come back later" in guilty.body


def test_the_next_batch_begins_with_a_clean_context(service):
    predict(service, asked("1", b"[1]"))
    (answer,) = predict(service, asked("2", b"[1]", "image/gif"))
    assert answer.headers == {"content-type": "application/json"}
