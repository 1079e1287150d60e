"""What AWS's containers do to a Transformer and its handlers: override, read, set, leave out."""

import json
import logging
import os
import sys
import types

import numpy as np
import pytest
from mms.context import Context, RequestProcessor
from mms.service import PredictionException

from sagemaker_inference import default_registry, errors, utils
from sagemaker_inference._aws import fallback, script_functions
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.errors import StartError
from sagemaker_inference.transformer import Transformer


class Framework(DefaultInferenceHandler):
    def default_model_fn(self, model_dir, preferred_batch_size=1):
        return preferred_batch_size

    @staticmethod
    def default_input_fn(input_data, content_type, model=None):
        assert model is None
        return [content_type, input_data]

    def default_predict_fn(self, data, model):
        return [*data, model]

    def default_output_fn(self, prediction, accept):
        if accept == "image/png":
            raise errors.UnsupportedFormatError(accept)
        return json.dumps([*prediction, accept])


@pytest.fixture
def ask(program, tmp_path):
    """Send a request to a transformer: status, type and body."""

    def sent(transformer, body=b"[1]", content_type="application/json", accept="application/json"):
        context = Context("model", str(tmp_path), None, 1, None, "1")
        headers = {"Content-Type": content_type, "Accept": accept}
        if content_type is None:
            del headers["Content-Type"]
        context.request_ids = {0: "id-0"}
        context.request_processor = [RequestProcessor(headers)]
        (reply,) = transformer.transform([{"body": bytearray(body)}], context)
        status, _ = context.get_response_status(0)
        return status or 200, context.get_response_content_type(0), json.loads(reply)

    return sent


ALL = ["application/json", "[1]", 1, "application/json"]


def test_a_framework_serves_alone_where_nobody_named_a_program(ask, caplog):
    assert ask(Transformer(Framework())) == (200, "application/json", ALL)
    assert "was not found" not in caplog.text


def test_a_named_program_that_is_missing_is_said_and_the_framework_serves(ask, monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "gone.py")
    with caplog.at_level(logging.WARNING):
        assert ask(Transformer(Framework()))[2] == ALL
    assert "SAGEMAKER_PROGRAM='gone.py' was not found" in caplog.text
    assert "Serving Framework alone." in caplog.text


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def predict_fn(data, model): return ['mine']\n", ["mine", "application/json"]),
        (
            "import sagemaker_inference as si\n@si.predictor\n"  # noqa: ISC004
            "def predict(data, model): return [len(data), model]\n",
            [2, 1, "application/json"],
        ),
        ("def model_fn(model_dir): return 'm'\n", ["application/json", "[1]", "m", ALL[3]]),
        (
            "import sagemaker_inference as si\n@si.decoder('application/json')\n"  # noqa: ISC004
            "def read(body): return ['read']\n",
            ["read", 1, "application/json"],
        ),
        ("def transform_fn(model, data, content_type, accept): return [data, model]\n", ["[1]", 1]),
    ],
)
def test_a_framework_stands_behind_what_the_program_leaves_out(program, ask, source, wanted):
    program(source, "code/inference.py")
    assert ask(Transformer(Framework())) == (200, "application/json", wanted)


def test_what_a_framework_cannot_write_is_406(ask):
    status, _, body = ask(Transformer(Framework()), accept="image/png")
    assert status == 406
    assert body["error"]["code"] == "not_acceptable"


class Overriding(Transformer):
    def __init__(self, handler):  # without super().__init__, as XGBoost's container has it
        self._default_inference_handler = handler

    def _default_transform_fn(self, model, input_data, content_type, accept):
        data = self._input_fn(input_data, content_type)
        return self._output_fn(["overridden", *self._predict_fn(data, model)], accept)


def test_an_overridden_path_answers_with_the_functions_found(ask):
    assert ask(Overriding(Framework()))[2] == ["overridden", *ALL]


def test_an_overridden_path_reads_and_writes_with_decorated_functions(program, ask):
    program(
        "from sagemaker_inference import decoder, encoder\n"
        "@decoder('application/json')\n"
        "def read(body): return ['read']\n"
        "@encoder('application/json')\n"
        "def write(prediction): return str(prediction).replace(chr(39), chr(34))\n",
        "code/inference.py",
    )
    assert ask(Overriding(Framework()))[2] == ["overridden", "read", 1]


def test_an_overridden_path_that_cannot_write_is_406(ask):
    assert ask(Overriding(Framework()), accept="image/png")[0] == 406


def test_an_overridden_path_gives_way_to_the_programs_own(program, ask):
    program(
        "def transform_fn(model, data, content_type, accept): return 'null'\n", "code/inference.py"
    )
    assert ask(Overriding(Framework()))[2] is None


def test_functions_and_model_that_are_set_answer(ask):
    transformer = Transformer(Framework())
    ask(transformer)
    transformer._model = "set"
    assert ask(transformer)[2][2] == "set"
    transformer._predict_fn = lambda data, model: ["set"]
    assert ask(transformer)[2] == ["set", "application/json"]
    transformer._transform_fn = lambda model, data, content_type, accept: "[true]"
    assert ask(transformer)[2] == [True]


def test_a_transformer_that_somebody_else_has_initialized_answers(ask):
    transformer = Transformer()
    transformer._initialized = True
    transformer._transform_fn = lambda model, data, content_type, accept: (f'"{accept}"', accept)
    assert ask(transformer, accept="*/*") == (200, "application/json", "application/json")


def test_an_async_handler_is_awaited(program, ask):
    program(
        "import asyncio\n"
        "from sagemaker_inference import model_loader, predictor\n"
        "@model_loader\n"
        "def load(): return 1\n"
        "@predictor\n"
        "async def predict(data):\n"
        "    await asyncio.sleep(0)\n"
        "    return 'awaited'\n",
        "code/inference.py",
    )
    assert ask(Transformer())[2] == "awaited"


def test_two_transformers_of_one_process_run_the_program_once(program, ask):
    program(
        "import sys\n"
        "sys.runs = getattr(sys, 'runs', 0) + 1\n"
        "def model_fn(model_dir): return 1\n"
        "def predict_fn(data, model): return sys.runs\n",
        "code/inference.py",
    )
    try:
        assert [ask(Transformer())[2], ask(Transformer())[2]] == [1, 1]
    finally:
        del sys.runs


def test_a_program_that_a_handler_service_has_imported_is_not_run_again(program, ask, tmp_path):
    written = program("def predict_fn(data, model): return marked\n", "code/inference.py")
    module = types.ModuleType("inference")
    module.__file__ = written.path
    module.predict_fn = lambda data, model: ["imported"]
    sys.modules["inference"] = module
    assert ask(Transformer(Framework()))[2] == ["imported", "application/json"]


def test_a_program_that_could_not_be_imported_is_tried_again(program, ask):
    program("raise OSError('not yet')\n", "code/inference.py")
    transformer = Transformer()
    status, _, body = ask(transformer)
    assert (status, body["error"]["code"]) == (500, "model_not_loaded")
    program(
        "from sagemaker_inference import model_loader, predictor\n"
        "@model_loader\n"
        "def load(): return 1\n"
        "@predictor\n"
        "def predict(data): return 'now'\n",
        "code/inference.py",
    )
    assert ask(transformer)[2] == "now"
    assert default_registry.is_closed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.GenericInferenceToolkitError(418, "no coffee"), 418),
        (MemoryError(), 507),
        (PredictionException("not here", 404), 404),
        (ValueError(), 500),
    ],
)
def test_a_load_that_fails_at_a_request_has_its_status(ask, error, status):
    class Failing(Framework):
        def default_model_fn(self, model_dir):
            raise error

    assert ask(Transformer(Failing()))[0] == status


def test_a_framework_without_a_model_is_refused(tmp_path):
    with pytest.raises(StartError, match="was not found"):
        Transformer().validate_and_initialize(str(tmp_path))
    nothing = DefaultInferenceHandler()
    with pytest.raises(NotImplementedError, match=r"def model_fn\(model_dir\)"):
        nothing.default_model_fn("/m")
    with pytest.raises(NotImplementedError, match=r"def predict_fn\(data, model\)"):
        nothing.default_predict_fn([], None)


def test_what_is_inherited_does_not_count():
    assert fallback.registry_of(DefaultInferenceHandler(), DefaultInferenceHandler).is_empty

    class Own(DefaultInferenceHandler):
        def default_model_fn(self, model_dir):
            return None

    assert not fallback.registry_of(Own(), DefaultInferenceHandler).is_empty


@pytest.mark.parametrize("accept", ["text/csv;q=0.1, application/json", "*/*", "image/png,text/*"])
def test_the_default_output_is_negotiated(accept):
    body, kind = DefaultInferenceHandler().default_output_fn(np.array([1, 2]), accept)
    assert (body, kind) == (
        ("1\n2\n", "text/csv") if "png" in accept else ("[1,2]", "application/json")
    )


def test_the_default_output_refuses_what_it_cannot_write():
    with pytest.raises(errors.UnsupportedFormatError, match="Content type image/png"):
        DefaultInferenceHandler().default_output_fn([1], "image/png")


@pytest.mark.parametrize("ids", [{0: "a", 1: "b"}, None])
def test_an_error_is_answered_without_its_traceback(ids, caplog):
    context = Context("model", "/m", None, 2, None, "1")
    context.request_ids = ids
    context.request_processor = [RequestProcessor({}), RequestProcessor({})]
    error = errors.GenericInferenceToolkitError(418, "no coffee")
    bodies = Transformer.handle_error(context, error, "Traceback of the test")
    assert len(bodies) == len(ids or [""])
    assert b"no coffee" in bodies[0]
    assert b"Traceback" not in bodies[0]
    assert "Traceback of the test" in caplog.text
    assert context.get_response_status(0)[0] == 418


def test_a_service_without_a_transformer_of_its_own_has_one():
    assert type(DefaultHandlerService()._service) is Transformer
    assert DefaultHandlerService._service is None


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", None),
        ("Text/CSV; Charset=UTF-8", "text/csv"),
        ("text/csv; label_size=0", "text/csv; label_size=0"),
        ("Text/Plain; charset=latin-1", "text/plain; charset=latin-1"),
    ],
)
def test_a_script_is_told_the_content_type_without_what_was_dealt_with(header, told):
    assert script_functions.content_type(header) == told


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("application/json;verbose", "application/json;verbose"),
        ('a/b; x="1,2";q=0.5, text/*', 'text/csv,a/b; x="1,2"'),
        ("a/b;q=0, ,*/*", "text/csv"),
        ("image/*", "image/*"),
    ],
)
def test_a_script_is_told_what_is_accepted_the_most_wanted_first(header, told):
    assert script_functions.accept(header, "text/csv") == told


def test_a_script_may_return_any_value(program, ask):
    program(
        "def model_fn(model_dir): return 1\n"
        "def predict_fn(data, model): return {'a': [1]}\n"
        "def output_fn(prediction, accept): return prediction, accept\n",
        "code/inference.py",
    )
    assert ask(Transformer()) == (200, "application/json", {"a": [1]})
    assert ask(Transformer(), accept="image/x-none") == (200, "application/json", {"a": [1]})


def test_a_script_that_calls_a_body_unsupported_answers_415(program, ask):
    program(
        "from sagemaker_inference import errors\n"
        "def model_fn(model_dir): return 1\n"
        "def transform_fn(model, data, content_type, accept):\n"
        "    raise errors.UnsupportedFormatError(content_type)\n",
        "code/inference.py",
    )
    assert ask(Transformer(), content_type="text/csv")[0] == 415


def test_files_are_read_and_written(tmp_path):
    utils.write_file(str(tmp_path / "a"), b"1", "wb")
    assert utils.read_file(str(tmp_path / "a")) == "1"
    assert utils.retrieve_content_type_header({"Accept": "x"}) is None
    assert utils.remove_crlf(None) == ""


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(str, id="text"),
        pytest.param(os.fsencode, id="bytes"),
        pytest.param(lambda path: path, id="a path"),
        pytest.param(lambda path: os.open(path, os.O_RDWR | os.O_CREAT), id="a descriptor"),
    ],
)
def test_files_are_named_as_for_open(tmp_path, named):
    utils.write_file(named(tmp_path / "a"), "1")
    assert utils.read_file(named(tmp_path / "a")) == "1"


SCRIPT = "def model_fn(model_dir): return {}\ndef predict_fn(data, model): return [model]\n"


@pytest.mark.parametrize("module", ["decoder.decode", "encoder.encode"])
def test_a_codec_that_is_replaced_late_is_used(ask, program, monkeypatch, module):
    program(SCRIPT.format(1), "code/inference.py")
    transformer = Transformer()
    assert ask(transformer) == (200, "application/json", [1])
    seen = []

    def replaced(value, content_type):
        seen.append(content_type)
        return "[2]"

    monkeypatch.setattr(f"sagemaker_inference.{module}", replaced)
    status, _, body = ask(transformer)
    assert (status, seen) == (200, ["application/json"])
    assert body == ([2] if module == "encoder.encode" else [1])


def test_a_process_may_hold_two_models(ask, program, tmp_path):
    transformers = []
    for number in (1, 2):
        program(SCRIPT.format(number), "code/inference.py")
        sys.modules.pop("inference", None)
        transformers.append(Transformer())
        assert ask(transformers[-1])[2] == [number]
    assert [ask(one)[2] for one in transformers] == [[1], [2]]


def test_a_framework_without_functions_of_its_own_reads_what_the_toolkit_reads(ask):
    class Plain(DefaultInferenceHandler):
        def default_model_fn(self, model_dir, context=None):
            return 2

        def default_predict_fn(self, data, model, context=None):
            return data * model

    assert ask(Transformer(Plain()), b"[1, 2]") == (200, "application/json", [2, 4])
    assert ask(Transformer(Plain()), b"1,2", "text/csv")[2] == [2, 4]


def test_a_framework_is_passed_no_content_type_where_there_is_none(ask):
    class Bytes(Framework):
        @staticmethod
        def default_input_fn(input_data, content_type):
            return [content_type, type(input_data).__name__, input_data.decode()]

    assert ask(Transformer(Bytes()), b"0:50 1:1", None)[2] == [
        None,
        "bytearray",
        "0:50 1:1",
        1,
        ALL[3],
    ]


def test_a_framework_may_call_what_it_overrides(ask):
    class Calls(Framework):
        def default_input_fn(self, input_data, content_type, context=None):
            data = DefaultInferenceHandler.default_input_fn(self, input_data, content_type)
            return [content_type, data.tolist()]

    assert ask(Transformer(Calls()), b"[1]")[2] == ["application/json", [1], 1, ALL[3]]
    assert ask(Transformer(Calls()), b"x", "image/png")[0] == 415
