import asyncio
import json
import logging
from http import HTTPStatus

import pytest
from support.builders import answer, answers, error_of, form, loaded, request

from sagemaker_inference import errors
from sagemaker_inference._http.context import Context
from sagemaker_inference._http.messages import Part, whole_body
from sagemaker_inference._inference.inference_handler import Job, run_without_loop
from sagemaker_inference._inference.replies import finished
from sagemaker_inference._log import current_request


def test_a_body_is_decoded_predicted_and_encoded(doubling):
    response = answer(doubling, request(b"[1, 2]", accept="text/csv"))
    assert response.status == 200
    assert response.content_type == "text/csv"
    assert response.body == b"2\n4\n"
    assert response.phrase == "OK"


def test_the_steps_are_timed(doubling):
    response = answer(doubling, request())
    times = (response.decode_seconds, response.predict_seconds, response.encode_seconds)
    assert all(seconds > 0 for seconds in times)


def test_a_request_that_fails_early_has_times_too(doubling):
    response = answer(doubling, request(accept="image/gif"))
    assert response.decode_seconds > 0
    assert response.encode_seconds == 0


def test_life_cycle_hooks_run_in_order(registry):
    calls = []
    registry.before_load(lambda model_dir: calls.append(("before_load", model_dir)))
    registry.model_loader(lambda model_dir, context: calls.append(context.model_dir) or "model")
    registry.warmup(lambda model_dir, model: calls.append(("warmup", model)))
    registry.on_shutdown(lambda model: calls.append(("on_shutdown", model)))
    registry.predictor(lambda data: data)
    loaded(registry, "/m").close()
    assert calls == [("before_load", "/m"), "/m", ("warmup", "model"), ("on_shutdown", "model")]


def test_a_program_without_hooks_shuts_down(doubling):
    loaded(doubling).close()


def test_a_load_that_fails_passes_through(registry):
    def load():
        raise OSError("no weights")

    registry.model_loader(load)
    registry.predictor(lambda data: data)
    with pytest.raises(OSError, match="no weights"):
        loaded(registry)


def test_a_shut_down_hook_that_fails_is_logged(doubling, caplog):
    doubling.on_shutdown(lambda: 1 / 0)
    loaded(doubling).close()
    assert "on_shutdown failed: " in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (request(b"[1]", "image/gif"), 415, "unsupported_media_type"),
        (request(b"[1", "application/json"), 400, "undecodable_body"),
        (request(accept="image/gif"), 406, "not_acceptable"),
    ],
)
def test_a_request_that_nobody_can_answer_gets_its_status(doubling, asked, status, code, caplog):
    response = answer(doubling, asked)
    error = error_of(response)
    assert response.status == status
    assert response.content_type == "application/json"
    assert error["code"] == code
    assert error["request_id"] == "id-1"
    assert error["message"]
    assert caplog.text == ""


def test_what_a_predictor_raises_is_logged_and_kept_from_the_client(registry, caplog):
    def predict(data):
        raise KeyError("the password")

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    response = answer(registry, request())
    assert response.status == 500
    assert error_of(response)["code"] == "prediction_failed"
    assert b"password" not in response.body
    assert b"Traceback" not in response.body
    assert "request id-1: the predictor failed" in caplog.text
    assert "KeyError: 'the password'" in caplog.text
    assert '/inference_handler.py", line' not in caplog.text


def test_a_failing_decoder_or_encoder_of_the_programs_is_named(doubling):
    doubling.decoder("text/plain")(lambda body: 1 / 0)
    doubling.encoder("text/html")(lambda data: 1 / 0)
    assert error_of(answer(doubling, request(b"", "text/plain")))["code"] == "decoder_failed"
    assert error_of(answer(doubling, request(accept="text/html")))["code"] == "encoder_failed"


def test_user_code_answers_any_status_from_any_function(doubling, caplog):
    def refuse(body):
        raise errors.GenericInferenceToolkitError(418, "no coffee here")

    doubling.decoder("text/plain")(refuse)
    response = answer(doubling, request(b"", "text/plain"))
    assert (response.status, response.phrase) == (418, "no coffee here")
    assert error_of(response)["message"] == "no coffee here"
    assert caplog.text == ""


def test_an_error_of_500_or_more_on_purpose_is_logged(doubling, caplog):
    def refuse(body):
        raise errors.ServiceUnavailableError("the feature store is down")

    doubling.decoder("text/plain")(refuse)
    assert answer(doubling, request(b"", "text/plain")).status == 503
    assert "request id-1 failed" in caplog.text


def test_an_error_whose_status_is_nonsense_is_answered_500(doubling):
    def refuse(body):
        raise errors.GenericInferenceToolkitError("400")

    doubling.decoder("text/plain")(refuse)
    assert answer(doubling, request(b"", "text/plain")).status == 500


def test_running_out_of_memory_is_answered_507(registry, caplog):
    def predict(data):
        raise MemoryError

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    response = answer(registry, request())
    assert (response.status, error_of(response)["code"]) == (507, "out_of_memory")
    assert "ran out of memory" in caplog.text


def test_the_parts_of_a_form_are_decoded_by_name(registry):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: {name: len(value) for name, value in data.items()})
    asked = form(("a", "application/json", b"[1,2]"), ("b", "text/csv", b"1\n"))
    assert answer(registry, asked).body == b'{"a":2,"b":1}'


def test_an_async_decoder_reads_the_parts_of_a_form(registry):
    async def read(body):
        await asyncio.sleep(0)
        return body.decode()

    registry.model_loader(lambda: None)
    registry.decoder("text/plain")(read)
    registry.predictor(lambda data: data)
    assert answer(registry, form(("a", "text/plain", b"x"))).body == b'{"a":"x"}'


def test_async_handlers_are_awaited(registry):
    async def read(body):
        await asyncio.sleep(0)
        return int(body)

    async def predict(data, model):
        await asyncio.sleep(0)
        return data * model

    async def write(data):
        await asyncio.sleep(0)
        return str(data)

    registry.model_loader(lambda: 2)
    registry.decoder("text/plain")(read)
    registry.predictor(predict)
    registry.encoder("text/plain")(write)
    assert answer(registry, request(b"21", "text/plain", "text/plain")).body == b"42"


def test_an_async_transformer_is_awaited(registry):
    async def transform(model, body):
        await asyncio.sleep(0)
        return body

    registry.model_loader(lambda: None)
    registry.transformer(transform)
    assert answer(registry, request(b"x")).body == b"x"


def test_a_transformer_is_the_whole_path(registry):
    registry.model_loader(lambda: "model")
    registry.transformer(lambda *offers: repr(offers))
    response = answer(registry, request(b"x", "text/plain", "text/csv"))
    assert response.body == b"('model', b'x', 'text/plain', 'text/csv')"
    assert response.content_type == "text/csv"


def test_a_transformers_object_is_written_by_a_built_in_codec(registry):
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: [1, 2])
    assert answer(registry, request()).body == b"[1,2]"
    failed = answer(registry, request(accept="image/gif"))
    assert (failed.status, error_of(failed)["code"]) == (500, "unencodable_prediction")
    assert "The transformer returned list" in error_of(failed)["message"]


def test_a_failing_transformer_is_named(registry):
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: 1 / 0)
    assert error_of(answer(registry, request()))["code"] == "transformer_failed"


@pytest.mark.parametrize(
    ("result", "body", "content_type"),
    [
        (b"b", b"b", "text/x"),
        (bytearray(b"b"), b"b", "text/x"),
        (memoryview(b"b"), b"b", "text/x"),
        ("ü", "ü".encode(), "text/x"),
        (("s", "text/y"), b"s", "text/y"),
        (("s", None), b"s", "text/x"),
        (memoryview(b"a.b.")[::2], b"ab", "text/x"),
        (("\xe9", "text/x; charset=latin-1"), b"\xe9", "text/x; charset=latin-1"),
    ],
)
def test_an_encoder_returns_a_body_with_or_without_a_type(doubling, result, body, content_type):
    doubling.encoder("text/x")(lambda data: result)
    response = answer(doubling, request(accept="text/x"))
    assert bytes(response.body) == body
    assert response.content_type == content_type


def test_an_encoder_that_returns_no_body_fails(doubling):
    doubling.encoder("text/x")(lambda data: [1])
    response = answer(doubling, request(accept="text/x"))
    assert response.status == 500
    assert "The encoder for text/x returned list" in error_of(response)["message"]


@pytest.mark.parametrize("charset", ["ascii", "klingon"])
def test_text_that_its_charset_has_not_fails(doubling, charset):
    doubling.encoder("text/x")(lambda data: ("\xe9", f"text/x; charset={charset}"))
    response = answer(doubling, request(accept="text/x"))
    assert response.status == 500
    assert "cannot be written as text/x" in error_of(response)["message"]


def test_an_encoder_of_a_wildcard_names_the_type(doubling):
    doubling.encoder("image/*")(lambda data: (b"img", "image/x"))
    doubling.encoder("audio/*")(lambda data: b"sound")
    image, sound = answers(doubling, request(accept="image/*"), request(accept="audio/*"))
    assert (image.body, image.content_type) == (b"img", "image/x")
    assert "must return (body, content_type)" in error_of(sound)["message"]


def test_the_context_sets_status_type_phrase_and_headers(registry):
    def predict(data, context):
        context.status, context.phrase = 201, "made"
        context.response_content_type = "application/vnd.iris+json"
        context.response_headers["X-A"] = "1"
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    response = answer(registry, request())
    assert (response.status, response.phrase) == (201, "made")
    assert response.content_type == "application/vnd.iris+json"
    assert response.headers == {"X-A": "1"}


@pytest.mark.parametrize("status", [99, 600, 2**40, "200 OK", [200]])
def test_a_status_that_no_response_has_is_answered_500(registry, status):
    def predict(data, context):
        context.status = status
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    response = answer(registry, request())
    assert response.status == HTTPStatus.INTERNAL_SERVER_ERROR
    error = json.loads(response.body)["error"]
    assert error["code"] == "unencodable_prediction"
    assert error["message"].startswith(f"The program set status {status!r}, which is not")


def test_a_body_that_cannot_be_encoded_is_answered_500(registry, caplog):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: object())
    with caplog.at_level(logging.CRITICAL):
        response = answer(registry, request())
    assert response.status == 500


def test_a_request_left_without_an_answer_is_a_bug_of_ours():
    with pytest.raises(RuntimeError, match="a request has no response"):
        finished(Job(request(), Context()))


def test_an_empty_batch_has_no_answers(doubling):
    assert run_without_loop(loaded(doubling).answer([])) == []


@pytest.mark.parametrize("accept", ["", "*/*", "a"])
def test_bytes_go_out_as_they_are_where_the_type_is_free(registry, accept):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: b"\x00\xff")
    [response] = run_without_loop(loaded(registry).answer([request(accept=accept)]))
    assert (response.status, response.content_type) == (200, "application/octet-stream")
    assert bytes(response.body) == b"\x00\xff"


def test_bytes_are_not_json_where_json_is_asked_for(registry):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: b"\x00\xff")
    [response] = run_without_loop(loaded(registry).answer([request(accept="application/json")]))
    assert response.status == 500


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("text/plain", "text/plain; charset=utf-8"), ("text/csv", "text/csv")],
)
def test_plain_text_has_a_charset_and_csv_has_none(registry, accept, content_type):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: "h\u00e9llo")
    [response] = run_without_loop(loaded(registry).answer([request(accept=accept)]))
    assert response.content_type == content_type


def test_an_errors_text_is_utf_8(registry):
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data):
        raise errors.UnprocessableInputError("h\u00e9llo \ud800")

    [response] = run_without_loop(loaded(registry).answer([request()]))
    assert "h\u00e9llo ?".encode() in bytes(response.body)


def test_the_raw_bytes_of_sagemakers_sdk_are_bytes(registry):
    registry.model_loader(lambda: None)
    registry.predictor(len)
    [response] = run_without_loop(
        loaded(registry).answer([request(b"\x00\xff", "file-path/raw-bytes")])
    )
    assert bytes(response.body) == b"2"


@pytest.mark.parametrize("body", [b'{"a": "b=c"}', b'["x=1&y"]', b"[1, 2]"])
def test_json_that_curl_sends_as_a_form_is_named(registry, body):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    form_type = "application/x-www-form-urlencoded"
    [response] = run_without_loop(loaded(registry).answer([request(body, form_type)]))
    assert response.status == 400
    assert b"send it with Content-Type: application/json" in bytes(response.body)


def test_a_program_without_a_health_check_is_healthy(doubling):
    assert loaded(doubling).is_healthy()


def test_a_transformer_knows_which_request_of_several_it_has(registry):
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: current_request.get())
    first, second = request(), request()
    second.id = "id-2"
    assert [response.body for response in answers(registry, first, second)] == [b"id-1", b"id-2"]
    assert current_request.get() == ""


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded"])
def test_query_parameters_without_a_body_are_the_input(registry, content_type):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    asked = request(b"", content_type)
    asked.parameters = (Part("a", "", b"1"), Part("b", "", b"x"))
    assert answer(registry, asked).body == b'{"a":"1","b":"x"}'


def test_an_encoder_may_return_its_body_in_pieces(registry):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    registry.encoder("text/plain")(lambda prediction: (str(item).encode() for item in prediction))
    response = answer(registry, request(b"[1, 2]", accept="text/plain"))
    assert (response.status, response.content_type) == (200, "text/plain")
    assert whole_body(response) == b"12"
