"""What AWS's toolkit 1.10.1 gets wrong and this package does not.

Only names of AWS's are used, and MMS's own objects: in an environment with ``sagemaker-inference``
1.10.1, ``pytest --noconftest -c /dev/null`` on this file fails on every test.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import logging
import os
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from mms.context import Context, RequestProcessor
from mms.service import PredictionException

from sagemaker_inference import decoder, encoder, environment, errors, utils
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


class Handler(DefaultInferenceHandler):
    def default_model_fn(self, model_dir):
        return None

    def default_predict_fn(self, data, model):
        return data


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    (tmp_path / "code").mkdir()
    for name in list(os.environ):
        if name.startswith("SAGEMAKER_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "code"), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    ours = getattr(importlib.import_module("sagemaker_inference"), "default_registry", None)
    with ours.isolated() if ours else contextlib.nullcontext():
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


class Server:
    """A transformer, and what a front end would get from it for a batch."""

    def __init__(self, transformer, model_dir):
        self.transformer = transformer
        self.context = Context("model", str(model_dir), None, 1, None, "1")

    def ask(self, *requests):
        self.context.request_ids = {index: f"id-{index}" for index in range(len(requests))}
        self.context.request_processor = [RequestProcessor(headers) for _, headers in requests]
        data = [{"body": bytearray(body)} for body, _ in requests]
        bodies = self.transformer.transform(data, self.context)
        replies = []
        for index, answer in enumerate(bodies):
            status, phrase = self.context.get_response_status(index)
            kind = self.context.get_response_content_type(index)
            body = answer.encode() if isinstance(answer, str) else bytes(answer)
            replies.append((int(status or 200), phrase, kind, body))
        return replies

    def one(self, body=b"[1, 2]", content_type=JSON, accept=JSON, **headers):
        given = {"Content-Type": content_type, "Accept": accept, **headers}
        (reply,) = self.ask((body, {name: value for name, value in given.items() if value}))
        return reply


@pytest.fixture
def server(tmp_path):
    def make(script=None, handler=None, transformer=Transformer):
        if script is not None:
            (tmp_path / "code" / "inference.py").write_text(script)
        return Server(transformer(handler or Handler()), tmp_path)

    return make


def predicting(function):
    handler = Handler()
    handler.default_predict_fn = function
    return handler


def failing(error):
    def predict(data, model):
        raise error

    return predicting(predict)


@pytest.mark.parametrize("text", ["naïve 模型", "x" * 5000, "two\nlines"])
def test_a_reason_phrase_is_one_short_ascii_line(server, text):
    _, phrase, _, _ = server(handler=failing(errors.GenericInferenceToolkitError(500, text))).one()
    assert phrase.isascii()
    assert phrase.isprintable()
    assert len(phrase) <= 100
    assert utils.remove_crlf("naïve\n") == "na?ve "


def test_each_item_of_a_batch_has_its_own_type_and_accept(server):
    replies = server().ask(
        (b"[1, 2]", {"Content-Type": JSON, "Accept": CSV}),
        (b"3,4", {"Content-Type": CSV, "Accept": JSON}),
    )
    assert [reply[2] for reply in replies] == [CSV, JSON]
    assert json.loads(replies[1][3]) == [3, 4]


def test_a_bad_item_fails_alone(server):
    good, bad, other = server().ask(
        (b"[1]", {"Content-Type": JSON}),
        (b"[1", {"Content-Type": JSON}),
        (b"[2]", {"Content-Type": JSON}),
    )
    assert (good[0], bad[0], other[0]) == (200, 400, 200)
    assert json.loads(other[3]) == [2]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "text/csv;charset=utf8"]
)
def test_case_and_parameters_of_a_content_type_do_not_matter(server, content_type):
    body = b"[1, 2]" if "j" in content_type.lower() else b"1,2"
    assert server().one(body, content_type)[0] == 200


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/json;q=0.2, text/csv;q=0.9", CSV),
        ("TEXT/CSV", CSV),
        ("text/*", CSV),
        ("image/png, */*;q=0.1", JSON),
        ("application/json; charset=utf-8", JSON),
    ],
)
def test_an_accept_header_is_negotiated(server, accept, chosen):
    status, _, kind, _ = server().one(accept=accept)
    assert (status, kind) == (200, chosen)


def test_preferences_are_in_the_clients_order():
    assert utils.parse_accept("text/csv;q=0.5, application/json, a/b;q=0") == [JSON, CSV]


def test_a_header_is_found_by_its_whole_name_without_case():
    headers = {"Content-Type-Options": "nosniff", "CONTENT-TYPE": CSV}
    assert utils.retrieve_content_type_header(headers) == CSV


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ((b"[1", JSON, JSON), 400),
        ((b"[1]", JSON, "image/png"), 406),
        ((b"[1]", "image/x-none", JSON), 415),
        ((b"not npy", NPY, JSON), 400),
    ],
)
def test_a_clients_fault_has_its_status(server, request_, status):
    assert server().one(*request_)[0] == status


def test_memory_that_ran_out_is_507(server):
    assert server(handler=failing(MemoryError())).one()[0] == 507


def test_a_traceback_is_in_the_log_with_the_request_id_and_in_no_body(server, caplog):
    with caplog.at_level(logging.ERROR):
        _, _, _, body = server(handler=failing(RuntimeError("secret"))).one()
    assert b"Traceback" not in body
    assert b"secret" not in body
    assert "id-0" in caplog.text
    assert "RuntimeError: secret" in caplog.text


@pytest.mark.parametrize("error", [AssertionError(), KeyError("row")])
def test_an_error_of_the_programs_is_not_called_the_clients(server, error):
    status, phrase, _, body = server(handler=failing(error)).one()
    assert (status, phrase) == (500, "Internal Server Error")
    assert b"Invalid Request" not in body
    assert b"row" not in body


def test_a_key_error_while_encoding_is_not_called_unsupported(monkeypatch):
    class Odd:
        def tolist(self):
            raise KeyError("column")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - any, but that one
        encoder.encode(Odd(), JSON)
    assert not isinstance(caught.value, errors.UnsupportedFormatError)


def test_a_phrase_may_be_none(server):
    error = errors.BaseInferenceToolkitError(418, "no coffee", None)
    status, phrase, _, body = server(handler=failing(error)).one()
    assert status == 418
    assert phrase
    assert b"no coffee" in body


def test_mms_prediction_exception_keeps_its_status(server):
    status, _, _, body = server(handler=failing(PredictionException("no row", 404))).one()
    assert status == 404
    assert b"no row" in body


def test_a_pickle_is_refused():
    class Planted:
        def __reduce__(self):
            return os.mkdir, ("/nowhere/at/all",)

    file = io.BytesIO()
    np.save(file, np.array([Planted()], object), allow_pickle=True)
    assert pickle.PROTO in file.getvalue()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, the file was not run
        decoder.decode(file.getvalue(), NPY)
    assert not isinstance(caught.value, OSError)


def test_an_empty_cell_is_nan():
    assert np.isnan(decoder.decode("1,,3", CSV)[1])


def test_a_number_sign_is_no_comment():
    assert decoder.decode("a,#b", CSV).tolist() == ["a", "#b"]


def test_integers_beside_floats_are_rows_of_floats():
    assert decoder.decode("1,2.5\n3,4.5", CSV).tolist() == [[1, 2.5], [3, 4.5]]


def test_what_is_called_json_is_json():
    assert json.loads(
        encoder.encode(np.array([1.0, np.nan]), JSON), parse_constant=pytest.fail
    ) == [
        1.0,
        None,
    ]


def test_a_defaulted_parameter_does_not_get_the_context(server):
    seen = []

    def predict(data, model, threshold=None):
        seen.append(threshold)
        return data

    assert server(handler=predicting(predict)).one()[0] == 200
    assert seen == [None]


def keyword_only(data, *, model):
    return data


def with_keywords(data, model, **options):
    assert options == {}
    return data


@pytest.mark.parametrize(
    "function",
    [
        keyword_only,
        lambda data: data,
        lambda data, model, scale=1, shift=0: data * scale + shift,
        functools.partial(lambda scale, data, model, shift=0: data * scale + shift, 1),
        sorted,
    ],
)
def test_whatever_can_be_called_is_a_handler(server, function):
    status, _, _, body = server(handler=predicting(function)).one()
    assert (status, json.loads(body)) == (200, [1, 2])


def test_keywords_do_not_get_the_context_by_position(server):
    assert server(handler=predicting(with_keywords)).one()[0] == 200


def test_the_context_is_that_of_the_current_request(server):
    def predict(data, model, context):
        return context.get_request_header(0, "X-Name")

    asked = server(handler=predicting(predict))
    asked.transformer.validate_and_initialize(str(asked.context.system_properties["model_dir"]))
    assert json.loads(asked.one(**{"X-Name": "a"})[3]) == "a"


def test_concurrent_first_requests_load_once(server):
    loads = []
    handler = Handler()
    handler.default_model_fn = lambda model_dir: (loads.append(1), time.sleep(0.2))
    transformer = server(handler=handler).transformer
    threads = [threading.Thread(target=transformer.validate_and_initialize) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1


SCRIPT = "def model_fn(model_dir): return 7\ndef predict_fn(data, model): return [model]\n"


def initialized(tmp_path):
    from sagemaker_inference.default_handler_service import DefaultHandlerService

    service = DefaultHandlerService(Transformer(Handler()))
    service.initialize(Context("model", str(tmp_path), None, 1, None, "1"))
    return service._service


def test_the_code_folder_is_on_the_path_of_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[1:])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    (tmp_path / "code" / "inference.py").write_text(SCRIPT)
    assert initialized(tmp_path)._model == 7


@pytest.mark.parametrize(
    ("name", "file"),
    [("", "inference.py"), ("src/serve.py", "src/serve.py"), ("folder/serve", "folder/serve.py")],
)
def test_a_program_is_found_as_sagemaker_names_it(tmp_path, monkeypatch, name, file):
    path = tmp_path / "code" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCRIPT)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", name)
    assert initialized(tmp_path)._model == 7


def test_a_dotted_program_in_a_missing_package_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "package.serve")
    initialized(tmp_path)
    assert "SAGEMAKER_PROGRAM='package.serve' was not found" in caplog.text


def test_a_malformed_number_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60s")
    with pytest.raises(ValueError, match="SAGEMAKER_MODEL_SERVER_TIMEOUT='60s'"):
        environment.Environment()


def test_the_alias_http_port_is_there(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "8123")
    assert environment.Environment().http_port == "8123"
