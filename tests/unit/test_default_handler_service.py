import json

import pytest
from mms.context import Context, RequestProcessor

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class Recorder(Transformer):
    """Says what it was asked."""

    def validate_and_initialize(self, model_dir="", context=None):
        self.asked = model_dir, context

    def transform(self, data, context):
        return [data, context]


def test_it_asks_its_transformer():
    recorder = Recorder()
    service = DefaultHandlerService(recorder)
    context = Context("model", "/m", None, 1, None, "1")
    service.initialize(context)
    assert recorder.asked == ("/m", context)
    assert service.handle("data", context) == ["data", context]


def test_without_a_transformer_it_serves_the_users_program():
    assert type(DefaultHandlerService()._service) is Transformer


def test_a_load_that_fails_is_tried_again_at_the_next_request(program, tmp_path):
    program(
        "from sagemaker_inference import *\n"
        "@model_loader\n"
        "def load(): raise OSError('no weights')\n"
        "@predictor\n"
        "def predict(data): return data\n",
        "code/inference.py",
    )
    context = Context("model", str(tmp_path), None, 1, None, "1")
    context.request_ids = {0: "id-0"}
    context.request_processor = [RequestProcessor({"Content-Type": "application/json"})]
    service = DefaultHandlerService()
    with pytest.raises(OSError, match="no weights"):
        service.initialize(context)
    (body,) = service.handle([{"body": bytearray(b"1")}], context)
    assert b"no weights" not in body
    assert json.loads(body)["error"]["code"] == "model_not_loaded"
    assert context.get_response_status(0) == (500, "Internal Server Error")
    program("def model_fn(d): return 1\ndef predict_fn(d, m): return [1]\n", "code/inference.py")
    service._service._assembled.model_loader.function.__code__ = (lambda: None).__code__
    assert service.handle([{"body": bytearray(b"1")}], context) == [b"1"]
