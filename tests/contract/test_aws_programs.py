"""What AWS's toolkit 1.10.1 does with programs and containers, where ours did something else.

Each fact was seen on 1.10.1 with the same program; where ours differs on purpose, the test says so.
"""

import json
import os
import subprocess
import sys
from importlib import import_module, invalidate_caches
from types import SimpleNamespace

import numpy as np
import pytest
from mms.context import Context, RequestProcessor

from sagemaker_inference import decoder, encoder, errors
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
MODEL = "import numpy as np\nfrom sagemaker_inference.errors import *\ndef model_fn(d): return 1\n"


@pytest.fixture
def ask(program, tmp_path):
    """Send a request to a transformer for a script: status, content type and body."""

    def sent(script, body=b"[1, 2]", accept=JSON, headers=None, transformer=None):
        if script is not None:
            program(script, "code/inference.py")
        context = Context("model", str(tmp_path), None, 1, None, "1.1")
        context.request_ids = {0: "id-0"}
        headers = {"Content-Type": JSON, "Accept": accept} if headers is None else headers
        context.request_processor = [RequestProcessor(headers)]
        (reply,) = (transformer or Transformer()).transform([{"body": bytearray(body)}], context)
        status, _ = context.get_response_status(0)
        return status, context.get_response_content_type(0), bytes(reply)

    return sent


# A program or a container without a function.


def test_a_transformer_that_overrides_transform_needs_no_predict_fn(program, tmp_path):
    class Own(Transformer):
        def transform(self, data, context):
            self.validate_and_initialize(str(tmp_path), context)
            return [self._model]

    program(MODEL, "code/inference.py")
    assert Own().transform([], None) == [1]


def test_a_transformer_that_overrides_the_default_transform_fn_needs_no_predict_fn(ask):
    class Own(Transformer):
        def _default_transform_fn(self, model, input_data, content_type, accept):
            return json.dumps([model, input_data, content_type, accept])

    assert json.loads(ask(MODEL, transformer=Own())[2]) == [1, "[1, 2]", JSON, JSON]


def test_a_missing_predict_fn_is_an_error_of_the_request_that_needs_it(ask, caplog):
    assert ask("def model_fn(d): return 1\n")[0] == 500
    assert "there is no predict_fn, and model_fn returned int" in caplog.text


def test_a_missing_model_fn_is_an_error_of_the_load(program, tmp_path):
    program("", "code/inference.py")
    transformer = Transformer()
    transformer._model_dir = str(tmp_path)
    transformer._validate_user_module_and_set_functions()
    with pytest.raises(NotImplementedError, match="nothing loads the model"):
        transformer.validate_and_initialize(str(tmp_path))


def test_functions_of_a_default_handler_that_the_script_replaces_are_not_checked(ask):
    class Odd(DefaultInferenceHandler):
        def default_model_fn(self, a, b, c, d): ...
        def default_input_fn(self): ...
        def default_predict_fn(self, a, b, c, d): ...
        def default_output_fn(self): ...

    script = MODEL + (
        "def input_fn(b, c): return 'read'\ndef predict_fn(d, m): return d\n"
        "def output_fn(p, a): return f'[\"{p}\"]'\n"
    )
    assert ask(script, transformer=Transformer(Odd())) == (200, JSON, b'["read"]')
    script = MODEL + "def transform_fn(m, d, c, a): return '[]'\n"
    assert ask(script, transformer=Transformer(Odd())) == (200, JSON, b"[]")


def test_functions_of_a_default_handler_that_are_used_are_checked(ask, caplog):
    class Odd(DefaultInferenceHandler):
        def default_output_fn(self): ...

    assert ask(MODEL, transformer=Transformer(Odd()))[0] == 500
    assert "takes too few arguments" in caplog.text


# The context.

FACTS = """
def predict_fn(data, model, context):
    processor = context.request_processor[0]
    processor.report_status(201, reason_phrase="Made")
    processor.add_response_property("X-A", "b")
    context.metrics.add_counter("rows", 3)
    return [
        sorted(context._system_properties),
        context.system_properties["server_version"],
        processor.get_response_status_code(),
        processor.get_response_status_phrase(),
        processor.get_response_header("X-A"),
    ]
"""
KEYS = ["batch_size", "gpu_id", "model_dir", "server_name", "server_version"]


def test_a_script_gets_what_mms_has_on_its_context(ask):
    status, _, body = ask(MODEL + FACTS)
    assert (status, json.loads(body)) == (201, [KEYS, "1.1", 201, "Made", "b"])


def test_what_model_fn_leaves_on_the_context_is_there_at_a_request(ask):
    script = (
        "def model_fn(d, context):\n"
        "    context.mine = 7\n    context.system_properties['more'] = 8\n    return 1\n"
        "def predict_fn(d, m, context):\n"
        "    seen = [context.mine, context.system_properties['more'], hasattr(context, 'last')]\n"
        "    context.last = True\n    return seen\n"
    )
    transformer = Transformer()
    assert json.loads(ask(script, transformer=transformer)[2]) == [7, 8, False]
    # What a request leaves there ends with it.
    assert json.loads(ask(None, transformer=transformer)[2]) == [7, 8, False]


def test_what_a_handler_service_leaves_on_mms_context_reaches_a_script(program, tmp_path):
    program("def model_fn(d, context): return [context.mine]\n", "code/inference.py")
    context = Context("model", str(tmp_path), {"model": {}}, 1, None, "1")
    context.mine = 7
    transformer = Transformer()
    transformer.validate_and_initialize(str(tmp_path), context)
    assert transformer._model == [7]


@pytest.mark.parametrize(
    "context", [object(), "text", 7, None, SimpleNamespace(system_properties=1)]
)
def test_any_object_may_stand_for_the_context_of_a_load(program, tmp_path, context):
    program(MODEL, "code/inference.py")
    transformer = Transformer()
    transformer.validate_and_initialize(str(tmp_path), context)
    assert transformer._model == 1


def test_a_parameter_named_ctx_gets_the_context(ask):
    script = MODEL + "def predict_fn(d, m, ctx=None): return type(ctx).__name__\n"
    assert ask(script)[2] == b'"Context"'


# Requests and responses.


@pytest.mark.parametrize("name", ["ContentType", "contentType", "Contenttype", "content-type"])
def test_a_content_type_is_known_by_all_its_spellings(ask, name):
    script = MODEL + "def input_fn(b, c): return [c, b]\ndef predict_fn(d, m): return d\n"
    assert json.loads(ask(script, b"1,2", headers={name: CSV})[2]) == [CSV, "1,2"]


@pytest.mark.parametrize("accept", [CSV, NPY, "image/x-none"])
@pytest.mark.parametrize(
    "functions",
    [
        "def predict_fn(d, m): return d\ndef output_fn(p, a): return {'a': [1]}\n",
        "def transform_fn(m, d, c, a): return {'a': [1]}\n",
        "def transform_fn(m, d, c, a): return {'a': [1]}, a\n",
        "async def transform_fn(m, d, c, a): return {'a': [1]}\n",
    ],
)
def test_a_dict_is_answered_as_json_whatever_is_accepted(ask, functions, accept):
    status, _, body = ask(MODEL + functions, accept=accept)
    assert (status, json.loads(body)) == (200, {"a": [1]})


@pytest.mark.parametrize("accept", [CSV, NPY])
def test_a_predicted_dict_is_answered_as_json(ask, accept):
    script = MODEL + "def predict_fn(d, m): return {'a': [1]}\n"
    assert ask(script, accept=accept) == (200, JSON, b'{"a":[1]}')


def test_what_has_no_json_form_either_is_500(ask):
    for functions in (
        "def predict_fn(d, m): return object()\n",
        "def transform_fn(m, d, c, a): return object()\n",
    ):
        assert [ask(MODEL + functions, accept=accept)[0] for accept in (JSON, CSV)] == [500, 500]
        sys.modules.pop("inference", None)


@pytest.mark.parametrize(
    "functions",
    [
        "def transform_fn(m, d, c, a): return b'x', 'text/plain', 7\n",
        "def predict_fn(d, m): return d\ndef output_fn(p, a): return b'x', 'text/plain', 7\n",
    ],
)
def test_of_a_longer_tuple_the_first_two_count(ask, functions):
    assert ask(MODEL + functions) == (200, "text/plain", b"x")


@pytest.mark.parametrize("status", [200, 202, 204, 302, 304, 399])
def test_a_status_below_400_is_raised_on_purpose(ask, status):
    raised = f"raise GenericInferenceToolkitError({status}, 'message')"
    got, _, body = ask(MODEL + f"def predict_fn(d, m): {raised}\n")
    assert got == status
    assert (b"message" in body) == (status not in (204, 304))
    assert bool(body) == (status not in (204, 304))


def test_no_content_has_no_body_however_it_is_set(ask):
    script = MODEL + (
        "def predict_fn(d, m, context):\n    context.set_response_status(204)\n    return d\n"
    )
    assert ask(script)[::2] == (204, b"")


@pytest.mark.parametrize(("status", "body"), [(400, b"why"), (500, b"why"), (204, b"")])
def test_an_error_may_be_a_status_and_a_message_as_in_xgboosts_container(status, body, caplog):
    context = Context("model", "/m", None, 1, None, "1")
    context.request_ids, context.request_processor = {0: "id-0"}, [RequestProcessor({})]
    (reply,) = Transformer.handle_error(context, status, "why")
    assert context.get_response_status(0)[0] == status
    assert body in bytes(reply)
    assert ("why" in caplog.text) == (status == 500)


# Formats.


@pytest.mark.parametrize("body", ["1,a", "1,a\n2,b", "1.5,a,True\n2,b,False"])
def test_a_csv_with_text_is_echoed(ask, body):
    script = MODEL + "def predict_fn(d, m): return d\n"
    status, _, echoed = ask(script, body.encode(), headers={"Content-Type": CSV, "Accept": CSV})
    assert (status, echoed.decode().replace(".0", "")) == (200, body + "\n")


def test_text_labels_of_dtype_object_are_npy(ask):
    script = MODEL + "def predict_fn(d, m): return np.array(['a', 'bb'], object)\n"
    status, kind, body = ask(script, accept=NPY)
    assert (status, kind, decoder.decode(body, kind).tolist()) == (200, NPY, ["a", "bb"])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(str, [["1", "b"], ["c", "ddd"]]), ("U2", [["1", "b"], ["c", "dd"]])],
)
def test_csv_as_text_is_an_array_of_text(dtype, expected):
    array = decoder._csv_to_numpy("1,b\nc,ddd", dtype=dtype)
    assert (array.dtype.kind, array.tolist()) == ("U", expected)
    assert decoder._csv_to_numpy("1,b", dtype=object).dtype == object


@pytest.mark.parametrize("hint", ["dict", "dict[str, int]", "'dict'", "Fields"])
def test_a_json_object_is_a_dict_where_the_data_are_annotated_so(ask, hint):
    script = (
        "from typing import TypedDict\n"
        "class Fields(TypedDict):\n    a: int\n"
        f"def predict_fn(data: {hint}, model): return [type(data).__name__, data['a'] + model]\n"
    )
    assert json.loads(ask(MODEL + script, b'{"a": 1}')[2]) == ["dict", 2]


def test_other_json_is_an_array_whatever_the_annotation(ask):
    for hint in ("", ": dict", ": list"):
        script = f"def predict_fn(data{hint}, model): return [type(data).__name__, data.shape]\n"
        assert json.loads(ask(MODEL + script, b"[1, 2]")[2]) == ["ndarray", [2]]
    script = "def predict_fn(data, model): return [type(data).__name__, data.shape]\n"
    assert json.loads(ask(MODEL + script, b'{"a": 1}')[2]) == ["ndarray", []]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("[1", JSON), ("", JSON), ("1,2\n3", CSV), (b"x", NPY), (b"x", "application/x-npz")],
)
def test_a_malformed_body_is_a_value_error(body, content_type):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the class is what is asked for
        decoder.decode(body, content_type)
    assert isinstance(caught.value, errors.DecodeError)
    assert isinstance(caught.value, json.JSONDecodeError) == (content_type == JSON)


def test_a_json_error_says_where():
    with pytest.raises(json.JSONDecodeError) as caught:
        decoder.decode('[1,\n "a" 2]', JSON)
    error = caught.value
    assert (error.lineno, error.colno, error.doc) == (2, 6, '[1,\n "a" 2]')
    assert (error.status_code, str(error)) == (400, error.message)


@pytest.mark.parametrize("kind", [TypeError, ValueError, errors.EncodeError])
@pytest.mark.parametrize(
    ("prediction", "content_type"),
    [
        (object(), JSON),
        (np.zeros((2, 2, 2)), CSV),
        ([[1], [1, 2]], NPY),
        ([{"a": 1}, {"b": 1}], CSV),
    ],
)
def test_what_cannot_be_written_is_a_type_error_and_a_value_error(prediction, content_type, kind):
    with pytest.raises(kind):
        encoder.encode(prediction, content_type)


# Several programs.


def test_a_second_program_may_have_been_imported_by_somebody(program, ask, tmp_path, monkeypatch):
    assert ask(MODEL + "def predict_fn(d, m): return [m]\n")[2] == b"[1]"
    program("def model_fn(d): return 2\ndef predict_fn(d, m): return [m]\n", "code/second.py")
    invalidate_caches()
    import_module("second")
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "second.py")
    assert ask(None)[2] == b"[2]"
    assert ask(None)[2] == b"[2]"


# Containers that start the stock command.


def test_importing_the_server_sets_the_logger_up():
    code = (
        "from sagemaker_inference import model_server\n"
        "model_server.logger.info('quiet')\nmodel_server.logger.warning('heard')\n"
    )
    env = {**os.environ, "SAGEMAKER_CONTAINER_LOG_LEVEL": "30"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.endswith(" - sagemaker-inference - WARNING - heard\n")
    assert done.stderr.count("\n") == 1
