"""Named parts that clients send: forms that arrive whole, and query parameters."""

from __future__ import annotations

import gzip

import pytest
from support.builders import error_of

from sagemaker_inference._http.messages import Headers, Part, Request, Response
from sagemaker_inference._inference import assembly
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import BadRequestError

MULTIPART = "multipart/form-data; boundary=X"
URLENCODED = "application/x-www-form-urlencoded"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each of headers behind its name and of data."""
    written = [
        f"--X\r\nContent-Disposition: form-data; name={headers}\r\n\r\n".encode() + data + b"\r\n"
        for headers, data in parts
    ]
    return b"".join([*written, b"--X--\r\n"])


def program(**hints: object) -> Registry:
    """A program that says what it was given."""
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, context):
        return f"{data} {[part.name for part in context.parts]}"

    predict.__annotations__ = hints
    registry.predictor(predict)
    return registry


def asked(
    registry: Registry, body: bytes, content_type: str, *query: Part, **headers: str
) -> Response:
    """The answer to a body as our front end hands it on."""
    sent = Headers([("Content-Type", content_type), ("Accept", "text/plain"), *headers.items()])
    request = Request("id", sent, body, query)
    return run_without_loop(assembly.assemble(registry, "inference.py").answer([request]))[0]


def test_a_form_is_a_dict_of_its_parts():
    body = multipart(
        ('"a"', b"1"),
        ('"a"', b"2"),
        ('"body"', b"text"),
        ('"x"\r\nContent-Type: application/json', b'{"b": 1}'),
        ('"f"; filename="f"', b"bytes"),
        ('"pdf"; filename="f"\r\nContent-Type: application/pdf', b"%PDF"),
        ('"latin"\r\nContent-Type: text/plain; charset=latin-1', b"\xe9"),
        ('"odd"', b"\xff"),
    )
    expected = (
        "{'a': ['1', '2'], 'body': 'text', 'x': {'b': 1}, 'f': b'bytes', 'pdf': b'%PDF', "
        "'latin': '\xe9', 'odd': b'\\xff'} "
        "['a', 'a', 'body', 'x', 'f', 'pdf', 'latin', 'odd']"
    )
    for kind in (MULTIPART, "Multipart/Form-Data; Boundary=X"):
        assert bytes(asked(program(), body, kind).body).decode() == expected
    found = asked(program(), b"a=1&a=2&body=3", URLENCODED, Part("q", "", b"0"))
    assert found.body == b"{'q': '0', 'a': ['1', '2'], 'body': '3'} ['q', 'a', 'a', 'body']"


def test_a_form_may_be_packed():
    body = gzip.compress(multipart(('"a"', b"1")))
    packed = {"Content-Encoding": "gzip"}
    assert asked(program(), body, MULTIPART, **packed).body == b"{'a': '1'} ['a']"


def test_a_form_that_is_cut_off_is_400():
    body = multipart(('"a"', b"1"), ('"b"', b"2"))
    for size in range(len(body) - 4):
        response = asked(program(), body[:size], MULTIPART)
        assert response.status == BadRequestError.status, size
    assert asked(program(), b"", URLENCODED).status == BadRequestError.status


def test_a_parts_failure_bears_its_name():
    body = multipart(('"a"\r\nContent-Type: application/json', b"[1"))
    response = asked(program(), body, MULTIPART)
    assert response.status == BadRequestError.status
    assert bytes(response.body).startswith(b"Part 'a': Invalid JSON")


def test_the_programs_own_decoder_gets_the_form_or_the_parts_of_its_types(caplog):
    body = multipart(('"a"', b"1"), ('"f"\r\nContent-Type: image/png', b"png"))
    for kind in ("multipart/form-data", "*/*"):
        registry = program()
        registry.decoder(kind)(len)
        assert asked(registry, body, MULTIPART).body == f"{len(body)} ['body']".encode()
    registry = program()
    registry.decoder("image/*")(lambda body: bytes(body).upper())
    assert asked(registry, body, MULTIPART).body == b"{'a': '1', 'f': b'PNG'} ['a', 'f']"
    registry = program()

    @registry.decoder("image/*")
    def fails(body):
        raise RuntimeError

    response = asked(registry, body, MULTIPART)
    assert bytes(response.body).startswith(b"The decoder failed")
    assert "the decoder failed" in caplog.text


def test_who_wants_the_body_gets_the_form_as_it_came():
    assert asked(program(data=bytes), b"a=1", URLENCODED).body == b"b'a=1' ['body']"
    assert asked(program(data=str), b"a=1", URLENCODED).body == b"a=1 ['body']"


def test_query_parameters_alone_are_named_parts():
    query = [Part("a", "", b"1"), Part("b", "", b"2"), Part("b", "", b"3")]
    for kind in ("", "application/json"):
        found = asked(program(), b"", kind, *query).body
        assert found == b"{'a': '1', 'b': ['2', '3']} ['a', 'b', 'b']"
    assert asked(program(), b"[4]", "application/json", *query).body == (
        b"[4] ['a', 'b', 'b', 'body']"
    )
    assert asked(program(data=bytes), b"", "text/csv", *query).body == (
        b"b'' ['a', 'b', 'b', 'body']"
    )


def test_a_transformer_gets_the_form_as_it_came():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.transformer(
        lambda model, body, context: repr((bytes(body), [part.name for part in context.parts]))
    )
    assert asked(registry, b"a=1&b=2", URLENCODED).body == b"(b'a=1&b=2', ['a', 'b'])"
    assert asked(registry, b"a=%", URLENCODED).body == b"(b'a=%', ['body'])"


@pytest.mark.parametrize("name", ["body", "other"])
def test_fields_that_the_front_end_took_apart_are_fields(name):
    headers = Headers([("Content-Type", MULTIPART)])
    request = Request("id", headers, fields=[Part(name, "text/csv", b"1,2")])
    handler = assembly.assemble(program(), "inference.py")
    response = run_without_loop(handler.answer([request]))[0]
    assert f"{{'{name}': array([[1, 2]])}}".encode() in bytes(response.body)
    request = Request("id", headers, fields=[])
    assert error_of(run_without_loop(handler.answer([request]))[0])["message"].startswith(
        "The form has no"
    )
