import json
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import form, request

from sagemaker_inference import errors
from sagemaker_inference._http.context import Context
from sagemaker_inference._http.error_response import (
    MESSAGE_LIMIT,
    ascii_line,
    error_response,
    error_status,
    standard_phrase,
)
from sagemaker_inference._http.messages import Headers, Request, Response, whole_body


def test_headers_are_found_without_case_and_come_back_as_written():
    headers = Headers([("Content-Type", "text/csv"), ("X-A", "1")])
    assert headers["content-TYPE"] == "text/csv"
    assert "x-a" in headers
    assert "x-b" not in headers
    assert 5 not in headers
    assert list(headers) == ["Content-Type", "X-A"]
    assert len(headers) == 2
    assert repr(headers) == "Headers({'Content-Type': 'text/csv', 'X-A': '1'})"
    assert headers.find("x-a") == "1"
    assert headers.find("x-b") == ""
    with pytest.raises(KeyError):
        headers["X-B"]


def test_the_last_of_two_headers_of_a_name_counts():
    assert dict(Headers([("A", "1"), ("a", "2")])) == {"a": "2"}


def test_headers_that_are_lists_may_come_in_several_lines():
    headers = Headers([("Accept", "a/b"), ("X", "1"), ("accept", "c/d;q=0.1"), ("ACCEPT", "e/f")])
    assert dict(headers) == {"Accept": "a/b, c/d;q=0.1, e/f", "X": "1"}
    assert headers.find("accept") == "a/b, c/d;q=0.1, e/f"


def test_a_request_has_its_body_and_headers():
    asked = request(b"1,2", "text/csv", "application/json")
    assert (asked.body, asked.content_type, asked.accept) == (
        b"1,2",
        "text/csv",
        "application/json",
    )


def test_a_form_has_parts_and_no_body():
    asked = form(("petal", "text/plain", b"1"))
    assert asked.body == b""
    assert asked.parts == [("petal", "text/plain", b"1")]
    assert asked.content_type == ""


def test_a_response_is_ok_unless_told():
    response = Response(b"", "text/csv")
    assert (response.status, response.headers, response.phrase) == (200, {}, "")


def document(response):
    return json.loads(response.body)


def test_an_error_is_answered_with_code_message_and_request_id():
    response = error_response(errors.DecodeError("line 3 is short"), "id-7")
    assert response.status == 400
    assert response.content_type == "application/json"
    assert response.phrase == "Bad Request"
    assert document(response) == {
        "error": {"code": "undecodable_body", "message": "line 3 is short", "request_id": "id-7"}
    }


def test_a_client_that_takes_only_text_gets_the_message_as_text():
    response = error_response(errors.DecodeError("line \udc80"), "id", accept="text/plain")
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.body == b"line ?"


def test_an_error_of_a_bare_status_takes_its_code_from_the_phrase():
    error = errors.GenericInferenceToolkitError(418, "no coffee", "Teapot")
    response = error_response(error, "id")
    assert (response.status, response.phrase) == (418, "Teapot")
    assert document(response)["error"]["code"] == standard_phrase(418).lower().replace(" ", "_")


def test_a_code_that_is_no_text_becomes_one():
    error = errors.GenericInferenceToolkitError(400)
    error.code = object
    assert document(error_response(error, "id"))["error"]["code"] == "<class 'object'>"


def test_a_code_is_cut():
    error = errors.UnprocessableInputError("m", code="y" * 1000)
    assert document(error_response(error, "id"))["error"]["code"] == "y" * 80


def test_a_message_that_has_no_text_is_one():
    class Mute:
        def __str__(self):
            raise RuntimeError

    response = error_response(errors.UnprocessableInputError(Mute()), "id")
    assert document(response)["error"]["message"] == "(Mute without text)"


@pytest.mark.parametrize("status", [100, 199, 600, "400", None, -1])
def test_a_status_that_is_not_final_becomes_500(status):
    error = errors.BaseInferenceToolkitError(status, "m", None)
    assert error_status(error) == 500
    assert error_response(error, "id").status == 500


def test_a_long_message_is_cut():
    message = document(error_response(errors.DecodeError("x" * 1000), "id"))["error"]["message"]
    assert len(message) == MESSAGE_LIMIT
    assert message.endswith("...")


def test_an_error_keeps_the_response_headers():
    assert error_response(errors.DecodeError("m"), "id", headers={"A": "1"}).headers == {"A": "1"}


def test_a_status_that_nobody_defined_has_a_phrase():
    assert standard_phrase(404) == "Not Found"
    assert standard_phrase(599) == "Error"


@given(st.text())
def test_a_phrase_is_one_short_line_of_ascii(text):
    line = ascii_line(text)
    assert line.isascii()
    assert len(line) <= 80
    assert len(line.splitlines()) <= 1


def test_a_phrase_is_cut_after_80_characters():
    assert ascii_line("a " * 50) == ("a " * 50)[:80]


def test_a_context_shows_the_request():
    headers = {
        "X-Amzn-SageMaker-Inference-Id": "inference-1",
        "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
    }
    asked = request(b"1", "text/csv", "application/json", headers)
    context = Context("/models/iris", 0, asked, "iris")
    assert (context.model_dir, context.model_name, context.gpu_id) == ("/models/iris", "iris", 0)
    assert (context.content_type, context.accept) == ("text/csv", "application/json")
    assert context.headers is asked.headers
    assert context.parts == asked.parts == [("body", "text/csv", b"1")]
    assert context.request_id == "id-1"
    assert context.inference_id == "inference-1"
    assert context.custom_attributes == "trace=1"


def test_while_the_model_loads_there_is_no_request():
    context = Context("/models/iris")
    assert (context.content_type, context.accept, context.request_id) == ("", "", "")
    assert context.inference_id is None
    assert context.custom_attributes is None


@pytest.mark.parametrize("value", ["seen=1", "x" * 1024])
def test_custom_attributes_are_answered_in_their_header(context, value):
    context.custom_attributes = value
    assert context.response_headers == {"X-Amzn-SageMaker-Custom-Attributes": value}


@pytest.mark.parametrize("value", ["x" * 1025, "café", "two\nlines"])
def test_custom_attributes_that_sagemaker_drops_are_refused(context, value):
    with pytest.raises(ValueError, match="1024 visible ASCII characters"):
        context.custom_attributes = value
    assert context.response_headers == {}


def test_a_context_answers_the_methods_of_mms():
    context = Context("/models/iris", 1, request(headers={"X-A": "1"}))
    assert context.system_properties == {
        "model_dir": "/models/iris",
        "gpu_id": 1,
        "batch_size": 1,
        "server_name": "MMS",
        "server_version": metadata.version("multi-model-server"),
    }
    assert context.manifest is None
    assert context.request_ids == {0: "id-1"}
    assert context.request_processor == [context]
    assert context.get_request_id() == "id-1"
    assert context.get_request_header(0, "x-a") == "1"
    assert context.get_request_property("x-a") == "1"
    assert context.get_all_request_header(0)["x-a"] == "1"
    assert context.get_request_properties()["X-A"] == "1"
    assert context.get_response_status() == (200, "")
    context.set_response_status(201, "Made", 0)
    assert context.get_response_status(0) == (201, "Made")
    context.set_all_response_status(202, "Taken")
    assert (context.status, context.phrase) == (202, "Taken")
    context.set_response_content_type(0, "text/csv")
    assert context.get_response_content_type(0) == context.response_content_type == "text/csv"
    context.set_response_header(0, "X-B", "2")
    assert context.get_response_headers(0) == context.response_headers == {"X-B": "2"}


def test_a_response_without_content_drops_its_body():
    assert [Response(b"x", "a/b", status=status).body for status in (200, 204, 205, 304)] == [
        b"x",
        b"",
        b"",
        b"",
    ]


def test_a_body_that_comes_in_pieces_is_joined():
    assert whole_body(Response(iter([b"a", b"", b"bc"]), "a/b")) == b"abc"
    with pytest.raises(TypeError):
        whole_body(Response(pieces(), "a/b"))


async def pieces():
    yield b"a"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.DecodeError("no"), "invalid_request_error"),
        (errors.GenericInferenceToolkitError(401, "no"), "authentication_error"),
        (errors.GenericInferenceToolkitError(403, "no"), "permission_error"),
        (errors.TooManyRequestsError("no"), "rate_limit_error"),
        (errors.GenericInferenceToolkitError(299, "no"), "invalid_request_error"),
    ],
)
def test_errors_on_openai_paths_have_openais_form(error, kind):
    response = error_response(error, "id-7", "text/plain", path="/v1/chat/completions")
    assert response.content_type == "application/json"
    found = document(response)["error"]
    assert list(found) == ["message", "type", "param", "code"]
    assert (found["message"], found["type"], found["param"]) == ("no", kind, None)
    assert found["code"] == (getattr(error, "code", None) or found["code"])


def test_an_openai_error_of_the_server_names_the_request():
    error = errors.ServiceUnavailableError("Busy.")
    found = document(error_response(error, "id-7", path="/v1/embeddings"))["error"]
    assert found == {
        "message": "Busy. (request id-7)",
        "type": "server_error",
        "param": None,
        "code": "service_unavailable",
    }


def test_a_request_is_one_to_invocations_unless_it_says_otherwise():
    assert Request.from_body(b"").path == "/invocations"
    assert Request.from_body(b"", path="/embed").path == "/embed"
