import pytest
from mms.context import Context, RequestProcessor

from sagemaker_inference.errors import StartError
from sagemaker_inference.transformer import Transformer

PROGRAM = """
from sagemaker_inference import model_loader, predictor
loads = []

@model_loader
def load(model_dir, context):
    loads.append((model_dir, context.gpu_id))
    return len(loads)

@predictor
def predict(data, model):
    return [data, model]
"""


@pytest.fixture
def mms_context(program, tmp_path):
    program(PROGRAM, "code/inference.py")
    context = Context("model", str(tmp_path), None, 1, 3, "1")
    context.request_ids = {0: "id-0"}
    context.request_processor = [RequestProcessor({"Content-Type": "application/json"})]
    return context


def test_a_program_is_loaded_once_and_answers(mms_context):
    transformer = Transformer()
    transformer.validate_and_initialize(mms_context.system_properties["model_dir"], mms_context)
    transformer.validate_and_initialize(mms_context.system_properties["model_dir"])
    data = [{"body": bytearray(b"5")}]
    assert transformer.transform(data, mms_context) == [b"[5,1]"]
    assert mms_context.get_response_content_type(0) == "application/json"
    assert transformer._inference_handler.gpu_id == 3


def test_the_first_request_loads_what_was_not_loaded(mms_context):
    transformer = Transformer()
    assert transformer.transform([{"body": b"5"}], mms_context) == [b"[5,1]"]
    assert transformer.transform([{"body": b"6"}], mms_context) == [b"[6,1]"]


def test_without_a_context_there_is_no_gpu(mms_context):
    transformer = Transformer()
    transformer.validate_and_initialize(mms_context.system_properties["model_dir"])
    assert transformer._inference_handler.gpu_id is None


def test_a_program_that_is_not_there_is_refused_again_at_the_next_request(tmp_path):
    transformer = Transformer()
    for _ in range(2):
        with pytest.raises(StartError, match="was not found"):
            transformer.validate_and_initialize(str(tmp_path))


TABLE = """
import sagemaker_inference as si

@si.model_loader
def load(model_dir):
    return 2

@si.predictor
def predict(data, model):
    return [data, model]
"""


def test_the_functions_of_a_program_decode_and_encode_as_it_does(program, tmp_path):
    program(TABLE, "code/inference.py")
    transformer = Transformer()
    transformer.validate_and_initialize(str(tmp_path))
    read, write = transformer._input_fn, transformer._output_fn
    assert read("[1]", "application/json").tolist() == [1]
    assert read(b"a=1&b=x", "application/x-www-form-urlencoded") == {"a": "1", "b": "x"}
    assert write([1, 2], "text/csv") == (b"1\n2\n", "text/csv")


def test_an_encoder_of_a_program_may_leave_its_content_type_out(program, tmp_path):
    encoder = "@si.encoder('text/plain')\ndef write(prediction): return str(prediction)\n"
    program(TABLE + encoder, "code/inference.py")
    transformer = Transformer()
    transformer.validate_and_initialize(str(tmp_path))
    assert transformer._output_fn([1], "text/plain") == ("[1]", "text/plain")
