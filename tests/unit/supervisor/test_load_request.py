import json

import pytest

from sagemaker_inference._supervisor import load_request
from sagemaker_inference._supervisor.load_request import LoadRequest
from sagemaker_inference._supervisor.management_error import ManagementError


def from_json(document, content_type="application/json"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return load_request.read({}, content_type, body)


def refusal(function, *arguments):
    with pytest.raises(ManagementError) as caught:
        function(*arguments)
    return caught.value.status, caught.value.message


def test_a_body_and_a_query_say_the_same(tmp_path):
    fields = {"model_name": "m", "url": str(tmp_path)}
    expected = LoadRequest("m", str(tmp_path), str(tmp_path))
    assert from_json(fields) == expected
    assert from_json(fields, "APPLICATION/JSON; charset=utf-8") == expected
    assert load_request.read(fields, "", b"") == expected
    assert load_request.read(fields, "text/plain", b"{}") == expected
    assert from_json({**fields, "handler": None, "unknown": [1]}) == expected


def test_everything_that_can_be_said(tmp_path):
    fields = {
        "model_name": "m",
        "url": str(tmp_path),
        "handler": "service.py:handle",
        "runtime": "python",
        "initial_workers": 2,
        "batch_size": 4,
        "max_batch_delay": 50,
        "response_timeout": 7,
        "synchronous": False,
    }
    expected = LoadRequest(
        name="m",
        url=str(tmp_path),
        path=str(tmp_path),
        handler="service.py:handle",
        workers=2,
        batch_size=4,
        batch_delay=50,
        timeout=7,
        is_synchronous=False,
    )
    assert from_json(fields) == expected
    query = {name: str(value) for name, value in fields.items()}
    assert load_request.read(query, "", b"") == expected


def test_an_url_is_taken_from_the_root(tmp_path):
    read = from_json({"model_name": "m", "url": str(tmp_path)[1:]})
    assert (read.url, read.path) == (str(tmp_path)[1:], str(tmp_path))


def test_a_models_manifest_says_what_the_request_does_not(tmp_path):
    folder = tmp_path / "MAR-INF"
    folder.mkdir()
    model = {"modelName": "n", "handler": "service:handle", "modelVersion": "1.0", "extra": 1}
    (folder / "MANIFEST.json").write_text(json.dumps({"model": model}))
    expected = LoadRequest("n", str(tmp_path), str(tmp_path), "service:handle", "1.0")
    assert load_request.read({"url": str(tmp_path), "model_name": ""}, "", b"") == expected
    read = from_json({"url": str(tmp_path), "model_name": "m", "handler": "other"})
    assert (read.name, read.handler) == ("m", "other")
    for text in ("{", "[]", "{}", '{"model": 1}'):
        (folder / "MANIFEST.json").write_text(text)
        status, message = refusal(from_json, {"url": str(tmp_path), "model_name": "m"})
        assert (status, "is not a manifest" in message) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"m"',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_one_that_can(body):
    status, message = refusal(from_json, body)
    assert (status, message[:32]) == (400, 'The body cannot be read; send {"')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model_name": {}}', "model_name has to be a text"),
        (b'{"url": ["/"]}', "url has to be a text"),
        (b'{"handler": true}', "handler has to be a text"),
        (b'{"initial_workers": "x"}', "initial_workers has to be a whole number, and is 'x'"),
        (b'{"initial_workers": 2.5}', "initial_workers has to be a whole number, and is 2.5"),
        (b'{"batch_size": true}', "batch_size has to be a whole number, and is True"),
        (b'{"batch_size": 99999999999}', "batch_size has to be a whole number, and is 99999999999"),
    ],
)
def test_a_field_of_a_body_that_cannot_be_read_is_named(body, words):
    assert refusal(from_json, body) == (400, words)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "The model's url is missing"),
        ({"url": ""}, 400, "The model's url is missing"),
        ({"url": "s3://bucket/model"}, 400, "a directory on this machine"),
        ({"url": "/", "initial_workers": "-1"}, 400, "initial_workers has to be from 0 to 256"),
        ({"url": "/", "initial_workers": "257"}, 400, "from 0 to 256, and is 257"),
        ({"url": "/", "response_timeout": "1000001"}, 400, "from 1 to 1000000, and is 1000001"),
        ({"url": "/", "batch_size": "10001"}, 400, "from 0 to 10000, and is 10001"),
        (
            {"url": "/", "max_batch_delay": "2000000000"},
            400,
            "from 0 to 1000000000, and is 2000000",
        ),
        ({"url": "/", "response_timeout": "0"}, 400, "response_timeout has to be from 1"),
        ({"url": "/", "response_timeout": "-2"}, 400, "response_timeout has to be from 1"),
        ({"url": "/", "batch_size": "-1"}, 400, "batch_size has to be from 0"),
        ({"url": "/", "max_batch_delay": "-1"}, 400, "max_batch_delay has to be from 0"),
        ({"url": "/", "batch_size": "many"}, 400, "batch_size has to be a whole number"),
        ({"url": "/", "runtime": "python2"}, 400, "runtime has to be python"),
        ({"url": "/"}, 400, "model_name is missing"),
        ({"url": "/", "model_name": "a/b"}, 400, "model_name has a slash: a/b"),
        ({"url": "/", "model_name": "\0"}, 400, "a character that cannot be used"),
        ({"url": "/", "model_name": "\udc80"}, 400, "a character that cannot be used"),
        ({"url": "/", "model_name": "é" * 501}, 400, "model_name is too long"),
        ({"url": "/usr/../usr", "model_name": "m"}, 404, "Relative path is not allowed"),
        ({"url": "/no/such", "model_name": "m"}, 404, "No such directory, or no access to it"),
        ({"url": "/dev/null", "model_name": "m"}, 404, "No such directory, or no access to it"),
        ({"url": "/\0", "model_name": "m"}, 404, "No such directory, or no access to it"),
        ({"url": "/" + "x" * 5000, "model_name": "m"}, 404, "No such directory"),
    ],
)
def test_what_cannot_be_loaded_is_refused(fields, status, words):
    found, message = refusal(load_request.read, fields, "", b"")
    assert (found, words in message) == (status, True), message


def test_numbers_that_say_nothing_are_left_out(tmp_path):
    fields = {"model_name": "m", "url": str(tmp_path)}
    for more in (
        {"initial_workers": "", "batch_size": "0", "response_timeout": "-1"},
        {"synchronous": "TRUE"},
    ):
        assert load_request.read({**fields, **more}, "", b"") == LoadRequest(
            "m", str(tmp_path), str(tmp_path)
        )
