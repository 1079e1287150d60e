"""How the items of a stream are written, by what the client accepts and the program yields."""

import numpy as np
import pytest
from support.builders import answer, error_of, request

from sagemaker_inference import codecs
from sagemaker_inference.codecs import Codec


def yielding(registry, *items):
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data):
        yield from items

    return registry


def streamed(registry, accept=""):
    response = answer(registry, request(accept=accept))
    assert response.status == 200, response.body
    return response.content_type, list(response.body)


OBJECTS = [{"a": 1}, [2, 3], "x\ny", None]
LINES = [b'{"a":1}\n', b"[2,3]\n", b'"x\\ny"\n', b"null\n"]


@pytest.mark.parametrize("accept", ["", "*/*", "*/*;q=0.5", "a", "image/*, */*;q=0.1"])
def test_json_lines_are_the_default(registry, accept):
    assert streamed(yielding(registry, *OBJECTS), accept) == ("application/jsonlines", LINES)


@pytest.mark.parametrize("name", ["application/jsonlines", "application/x-ndjson"])
def test_a_line_is_one_value(registry, name):
    assert streamed(yielding(registry, *OBJECTS), name) == (name, LINES)


def test_events_have_data_lines(registry):
    content_type, chunks = streamed(yielding(registry, *OBJECTS, "a\r\nb\rc"), "text/event-stream")
    assert content_type == "text/event-stream"
    assert chunks == [
        b'data: {"a":1}\n\n',
        b"data: [2,3]\n\n",
        b"data: x\ndata: y\n\n",
        b"data: null\n\n",
        b"data: a\ndata: b\ndata: c\n\n",
    ]


def test_a_json_array_comes_item_by_item(registry):
    content_type, chunks = streamed(yielding(registry, *OBJECTS), "application/json")
    assert content_type == "application/json"
    assert chunks == [b'[{"a":1}', b",[2,3]", b',"x\\ny"', b",null", b"]"]


def test_a_json_array_may_be_empty(registry):
    response = answer(yielding(registry), request(accept="application/json"))
    assert (response.status, response.body) == (200, b"[]")


@pytest.mark.parametrize("accept", ["", "text/event-stream", "text/plain"])
def test_nothing_yielded_is_an_empty_body(registry, accept):
    response = answer(yielding(registry), request(accept=accept))
    assert (response.status, response.body) == (200, b"")


def test_rows_of_csv(registry):
    items = [(1, "x"), np.array([1.5, 2]), 3, np.eye(2), "a,b\n", [[1, 2], [3, 4]]]
    rows = [b"1,x\n", b"1.5,2.0\n", b"3\n", b"1.0,0.0\n0.0,1.0\n", b"a,b\n", b"1,2\n3,4\n"]
    assert streamed(yielding(registry, *items), "text/csv") == ("text/csv", rows)
    registry.reset()
    arrays = [np.array([1, 2]), np.array([3, 4])]
    assert streamed(yielding(registry, arrays), "text/csv")[1] == [b"1,2\n3,4\n"]


def test_text_goes_out_as_it_is(registry):
    content_type, chunks = streamed(yielding(registry, "Hel", "lo\n", b"\xff"), "text/plain")
    assert content_type == "text/plain; charset=utf-8"
    assert chunks == [b"Hel", b"lo\n", b"\xff"]


def test_values_in_plain_text_are_lines(registry):
    assert streamed(yielding(registry, 1, {"a": 2}), "text/plain")[1] == [b"1\n", b'{"a":2}\n']


def test_bytes_go_out_as_they_are_in_every_format(registry):
    parts = [b"a", bytearray(b"b"), memoryview(b"c")]
    for accept in (
        "application/jsonlines",
        "text/event-stream",
        "text/plain",
        "text/csv",
        "application/octet-stream",
    ):
        assert list(map(bytes, streamed(yielding(registry, *parts), accept)[1])) == [
            b"a",
            b"b",
            b"c",
        ]
        registry.reset()
    chunks = streamed(yielding(registry, b"1", b"{}"), "application/json")[1]
    assert b"".join(chunks) == b"[1,{}]"


@pytest.mark.parametrize(
    ("item", "content_type"),
    [
        ("token", "text/plain; charset=utf-8"),
        (b"token", "application/octet-stream"),
        (bytearray(b"token"), "application/octet-stream"),
    ],
)
def test_text_and_bytes_choose_their_type_where_nobody_else_does(registry, item, content_type):
    assert streamed(yielding(registry, item)) == (content_type, [b"token"])


def test_a_default_that_is_set_is_obeyed(registry, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/event-stream")
    assert streamed(yielding(registry, 1)) == ("text/event-stream", [b"data: 1\n\n"])
    assert streamed(registry, "application/jsonlines")[1] == [b"1\n"]


def test_the_first_acceptable_type_of_several_is_chosen(registry):
    yielding(registry, 1)
    assert streamed(registry, "text/csv;q=0.5, text/event-stream")[0] == "text/event-stream"
    assert streamed(registry, "text/*")[0] == "text/plain; charset=utf-8"
    assert streamed(registry, "application/*")[0] == "application/jsonlines"


def test_what_cannot_be_written_item_by_item_is_refused_before_an_item(registry):
    registry.model_loader(lambda: None)
    begun = []

    @registry.predictor
    def predict(data):
        begun.append(data)
        yield 1

    response = answer(registry, request(accept="application/x-npy"))
    assert response.status == 406
    assert "accept one of: application/jsonlines" in error_of(response)["message"]
    assert not begun


def test_a_prediction_that_is_no_stream_is_no_stream_of_events(doubling):
    response = answer(doubling, request(accept="text/event-stream"))
    assert response.status == 406
    assert "application/json" in error_of(response)["message"]
    assert answer(doubling, request(accept="text/event-stream;q=0, image/gif")).status == 406
    response = answer(doubling, request(accept="text/event-stream, application/json;q=0.1"))
    assert (response.status, response.body) == (200, b"[2,4]")


def test_an_encoder_of_the_program_writes_each_item(registry):
    yielding(registry, 1, 2)

    @registry.encoder("application/x-own")
    def write(item, accept, context):
        return f"<{item} {accept} {context.accept}>"

    assert streamed(registry) == (
        "application/x-own",
        [b"<1 application/x-own >", b"<2 application/x-own >"],
    )
    assert streamed(registry, "text/event-stream") == (
        "text/event-stream",
        [b"data: 1\n\n", b"data: 2\n\n"],
    )


def test_an_encoder_keeps_the_frame_of_a_known_format(registry):
    yielding(registry, 1, 2)
    registry.encoder("application/json")(lambda item: b"<%d>" % item)
    assert b"".join(streamed(registry, "application/json")[1]) == b"[<1>,<2>]"


def test_an_encoder_may_name_the_type(registry):
    yielding(registry, 1, 2)
    registry.encoder("image/*")(lambda item: (b"%d" % item, "image/gif"))
    assert streamed(registry, "image/*") == ("image/gif", [b"1", b"2"])


def test_formats_need_something_that_writes_their_values(registry):
    yielding(registry, "1", "2")
    with codecs.isolated():
        codecs.register(Codec("json", ("application/json",), decode=lambda body, _: body))
        assert answer(registry, request(accept="text/event-stream")).status == 406
        codecs.register(Codec("own", ("application/jsonlines",), encode=lambda item, _: b"?"))
        response = answer(registry, request(accept="application/x-any, */*;q=0.1"))
        assert response.content_type == "text/plain; charset=utf-8"
