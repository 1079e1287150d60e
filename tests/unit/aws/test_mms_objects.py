import sys

import pytest
from mms.context import Context, RequestProcessor
from support.builders import error_of, form, request

from sagemaker_inference._aws.mms_objects import (
    HandlerServiceAdapter,
    read_requests,
    write_responses,
)
from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference.errors import StartError


@pytest.fixture
def service(program, tmp_path, monkeypatch):
    """Write a handler service beside a model, and load it."""
    monkeypatch.chdir(tmp_path)

    def load(source, name="written_service", suffix=""):
        program(source, f"{name}.py")
        found = HandlerServiceAdapter(f"{name}{suffix}")
        found.load(str(tmp_path))
        return found

    return load


def answers(service, *requests):
    return run_without_loop(service.answer(requests))


ECHO = "def handle(data, context):\n    return data and [row['body'] for row in data]\n"


def test_a_module_with_the_function_handle_is_a_service(service):
    (response,) = answers(service(ECHO), request(b"x"))
    assert (response.status, bytes(response.body), response.content_type) == (200, b"x", "")


@pytest.mark.parametrize("suffix", ["", ".py"])
def test_a_function_may_be_named(service, suffix):
    found = service(ECHO.replace("handle", "serve_it"), suffix=f"{suffix}:serve_it")
    assert bytes(answers(found, request(b"x"))[0].body) == b"x"


def test_a_file_in_another_folder_is_found(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = program(ECHO, "elsewhere/far_service.py")
    found = HandlerServiceAdapter(written.path)
    found.load(str(tmp_path))
    assert bytes(answers(found, request(b"x"))[0].body) == b"x"
    assert sys.path[0] == written.root
    found.load(str(tmp_path))
    assert sys.path.count(written.root) == 1


ONE_CLASS = """
import os
class Service:
    def initialize(self, context):
        self.properties = context.system_properties
    def handle(self, data, context):
        return [[self.properties["gpu_id"], self.properties["batch_size"], len(data)]] * len(data)
"""


def test_a_module_with_one_class_is_a_service(service, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", "4")
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_DELAY", "0.5")
    found = service(ONE_CLASS)
    assert (found.concurrency.max_batch_size, found.concurrency.max_batch_delay) == (4, 0.5)
    assert [response.body for response in answers(found, request(), request())] == [
        b"[null, 4, 2]",
        b"[null, 4, 2]",
    ]
    found.close()


def test_a_class_needs_no_initialize(service):
    source = "class Service:\n    def handle(self, data, context): return ['ü']\n"
    assert answers(service(source), request())[0].body == "ü".encode()


def test_a_service_that_fails_to_load_says_why(service):
    with pytest.raises(ZeroDivisionError):
        service("def handle(data, context): return 1 / 0")


@pytest.mark.parametrize(("source", "count"), [("", 0), (ONE_CLASS + "class B: pass", 2)])
def test_a_module_with_no_function_and_not_one_class_is_refused(service, source, count):
    with pytest.raises(StartError, match=f"defines {count} classes and no function 'handle'"):
        service(source)


def test_a_service_sees_fields_headers_ids_and_manifest(service, tmp_path):
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "MAR-INF" / "MANIFEST.json").write_text('{"model": 1}')
    found = service(
        "def handle(data, context):\n"
        "    return data and [[context.manifest, context.get_request_id(0),"
        " context.get_request_header(0, 'X-A'), context.get_request_header(0, 'body'),"
        " type(data[0]['body']).__name__]]\n"
    )
    (response,) = answers(found, request(b"x", "text/csv", headers={"X-A": "1"}))
    assert response.body == (
        b'[{"model": 1}, "id-1", "1", {"content-type": "text/csv"}, "bytearray"]'
    )


def test_a_service_gets_a_form_as_its_fields(service):
    found = service(
        "def handle(data, context):\n"
        "    return data and [sorted((name, bytes(value).decode()) for name, value in row.items())"
        " for row in data]\n"
    )
    kind = "application/x-www-form-urlencoded"
    whole, empty, other = answers(
        found, request(b"b=2&a=1", kind), request(b"", kind), request(b"x", "text/csv")
    )
    assert whole.body == b'[["a", "1"], ["b", "2"]]'
    assert empty.body == b"[]"
    assert other.body == b'[["body", "x"]]'


def test_a_service_sets_status_type_and_headers(service):
    found = service(
        "def handle(data, context):\n"
        "    if data is None: return\n"
        "    context.set_response_status(201, 'made', 0)\n"
        "    context.set_response_content_type(0, 'text/x')\n"
        "    context.set_response_header(0, 'X-A', 1)\n"
        "    return [b'x']\n"
    )
    (response,) = answers(found, request())
    assert (response.status, response.phrase) == (201, "made")
    assert (response.content_type, response.headers) == ("text/x", {"X-A": "1"})


def failing(service, what):
    source = f"import mms.service\ndef handle(data, context):\n    if data: {what}\n"
    (response,) = answers(service(source), request())
    return response.status, error_of(response)


def test_what_a_service_raises_is_an_answer(service, caplog):
    status, error = failing(service, "raise KeyError('secret')")
    assert (status, error["code"]) == (500, "prediction_failed")
    assert "secret" not in error["message"]
    assert "KeyError: 'secret'" in caplog.text


def test_running_out_of_memory_is_answered_507(service):
    assert failing(service, "raise MemoryError")[0] == 507


def test_mms_own_exception_carries_its_status(service):
    status, error = failing(service, "raise mms.service.PredictionException('no', 422)")
    assert (status, error["message"]) == (422, "no")


def test_our_own_errors_carry_their_status(service):
    what = "from sagemaker_inference import errors; raise errors.DecodeError('no')"
    assert failing(service, what)[0] == 400


@pytest.mark.parametrize(
    ("result", "words"),
    [("'text'", "returned str, expected a list"), ("[1, 2]", "returned 2 results, expected 1")],
)
def test_another_number_of_results_is_refused(service, result, words):
    status, error = failing(service, f"return {result}")
    assert status == 500
    assert words in error["message"]


def test_a_result_that_cannot_be_sent_fails_alone(service):
    source = "def handle(data, context):\n    return data and [b'x', object()]\n"
    good, bad = answers(service(source), request(), request())
    assert good.status == 200
    assert bad.status == 500
    assert error_of(bad)["message"] == "A result of type object cannot be sent"


def test_a_service_that_was_not_loaded_is_answered_for(tmp_path):
    service = HandlerServiceAdapter("x")
    service._context = Context("model", str(tmp_path), None, 1, None, "1")
    assert answers(service, form())[0].status == 500


def mms_context(*headers):
    context = Context("model", "/models/iris", None, len(headers), None, "1")
    context.request_ids = {index: f"id-{index}" for index in range(len(headers))}
    context.request_processor = [RequestProcessor(header) for header in headers]
    return context


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        (bytearray(b"[1]"), "application/json", b"[1]"),
        ([1, "a"], "application/json", b'[1, "a"]'),
        ("a", "application/json", b'"a"'),
        ("ä", "text/csv", "ä".encode()),
    ],
)
def test_a_body_is_bytes_again_where_mms_has_decoded_it(value, content_type, body):
    context = mms_context({"Content-Type": content_type, "body": {"content-type": content_type}})
    (found,) = read_requests([{"body": value}], context)
    assert found.body == body
    assert (found.id, found.content_type) == ("id-0", content_type)
    assert found.parts[0].content_type == content_type


def test_a_part_without_a_type_of_its_own_has_the_headers():
    (found,) = read_requests([{"body": b""}], mms_context({"Content-Type": "text/csv"}))
    assert found.parts[0].content_type == "text/csv"


def test_requests_without_headers_or_ids_are_read():
    context = mms_context(None)
    context.request_ids = None
    (found,) = read_requests([{}], context)
    assert (found.id, len(found.headers), found.body) == ("", 0, b"")


def test_responses_are_put_where_mms_looks_for_them():
    context = mms_context({}, {})
    responses = [
        Response(memoryview(b"a"), "text/csv", status=201, headers={"X-A": 1}, phrase="made"),
        Response(b"b", "application/json"),
    ]
    assert write_responses(responses, context) == [b"a", b"b"]
    assert context.get_response_status(0) == (201, "made")
    assert context.get_response_headers(0) == {"content-type": "text/csv", "X-A": "1"}
    assert context.get_response_content_type(1) == "application/json"


def test_what_a_service_itself_cannot_import_is_told_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "needy_service.py").write_text("import no_such_library")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    service = HandlerServiceAdapter("needy_service")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        service.load(str(tmp_path))
    service = HandlerServiceAdapter("absent_service")
    with pytest.raises(StartError, match="'absent_service' was not found"):
        service.load(str(tmp_path))


@pytest.mark.parametrize("how", ["sys.exit(3)", "raise GeneratorExit"])
def test_a_service_that_exits_fails_its_request_only(service, how):
    status, error = failing(service, f"import sys; {how}")
    assert (status, error["code"]) == (500, "prediction_failed")


def test_the_part_named_body_is_the_body_wherever_it_stands():
    context = mms_context({"Content-Type": "text/csv"})
    (found,) = read_requests([{"b": b"2", "body": b"1", "a": b"3"}], context)
    assert found.body == b"1"
    assert [(part.name, part.value) for part in found.parts] == [
        ("b", b"2"),
        ("a", b"3"),
        ("body", b"1"),
    ]
