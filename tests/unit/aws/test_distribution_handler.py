"""Handlers of SageMaker Distribution, which SAGEMAKER_INFERENCE_CODE names."""

import dataclasses

import pytest

from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference import program as programs
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference.errors import StartError


@pytest.fixture
def assembled(program, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CODE", "inference.handler")
    made = []

    def make(source):
        written = dataclasses.replace(program(source), function="handler")
        made.append(programs.assembled(written))
        made[-1].load("/m")
        return made[-1]

    yield make
    for handler in made:
        handler.close()


def answer(handler, body=b"", content_type="application/json", accept="", headers=None):
    run = handler.run if handler.concurrency.is_async else run_without_loop
    request = Request.from_body(body, content_type, accept, headers)
    return run(whole_answers(handler, [request]))[0]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_it_gets_body_and_headers(assembled, kind):
    handler = assembled(
        f"{kind} handler(request):\n"
        "    assert type(request.body) is bytes\n"
        "    return request.headers['x-Name'].encode() + request.body\n"
    )
    assert handler.concurrency.is_async == (kind == "async def")
    response = answer(handler, b"[1]", accept="image/png", headers={"X-Name": "a"})
    assert (response.status, response.body, response.content_type) == (200, b"a[1]", "image/png")


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("{'a': 1}", b'{"a":1}', "application/json"),
        ("'x'", b"x", "text/csv"),
        ("b'x'", b"x", "text/csv"),
        ("iter(['a', b'b', {'c': 1}, '', 'd'])", b'ab{"c":1}', "text/event-stream"),
    ],
)
def test_what_it_returns_is_sent_as_awss_server_sends_it(assembled, returned, body, content_type):
    handler = assembled(f"def handler(request):\n    return {returned}\n")
    response = answer(handler, accept="text/csv")
    assert (bytes(response.body), response.content_type) == (body, content_type)


def test_a_generator_is_closed_where_its_client_is_gone(assembled, capsys):
    handler = assembled(
        "def handler(request):\n"
        "    try:\n"
        "        yield 'data: 1\\n\\n'\n"
        "        yield 'data: 2\\n\\n'\n"
        "    finally:\n"
        "        print('closed')\n"
    )
    (response,) = run_without_loop(handler.answer([Request.from_body(b"")]))
    assert next(response.body) == b"data: 1\n\n"
    response.body.close()
    assert capsys.readouterr().out == "closed\n"


STREAMS = """
class Items:
    def __init__(self):
        self.left = ["a", b"b"]
    def __aiter__(self):
        return self
    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

async def numbers():
    for text in ("a", b"b"):
        yield text
"""


@pytest.mark.parametrize(
    "handler",
    [
        "async def handler(request):\n    return numbers()\n",
        "async def handler(request):\n    return Items()\n",
        "async def handler(request):\n    return iter(['a', b'b'])\n",
        "async def handler(request):\n    yield 'a'\n    yield b'b'\n",
    ],
)
def test_an_async_handler_streams(assembled, handler):
    response = answer(assembled(STREAMS + handler))
    assert (response.body, response.content_type) == (b"ab", "text/event-stream")


def test_a_failure_names_the_handler(assembled, caplog):
    handler = assembled("def handler(request):\n    raise KeyError('row')\n")
    assert answer(handler).status == 500
    assert "KeyError: 'row'" in caplog.text
    assert "handler" in caplog.text


def test_a_program_that_is_imported_already_keeps_its_handler(program, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CODE", "inference.handler")
    written = dataclasses.replace(
        program("def handler(request):\n    return request.body\n"), function="handler"
    )
    first = programs.assembled(written)
    again = programs.assembled(written)
    assert again.transformer.function is first.transformer.function
    apart = programs.assembled_apart(written)
    assert apart.transformer.function is first.transformer.function


def test_a_program_without_the_function_is_refused(assembled):
    said = (
        r"^SAGEMAKER_INFERENCE_CODE='inference.handler': .*/inference.py has no function 'handler"
    )
    with pytest.raises(StartError, match=said):
        assembled("handler = 1\n")


def test_a_program_with_decorators_of_its_own_is_refused(assembled):
    with pytest.raises(StartError, match=r"registers others by decorators\. Unset the variable\."):
        assembled(
            "from sagemaker_inference import model_loader\n"
            "@model_loader\ndef load(): return 1\n"
            "def handler(request): return b''\n"
        )
