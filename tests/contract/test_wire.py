"""The wire against MMS's own reader and writer, as released."""

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mms.context import Context, RequestProcessor
from mms.protocol import otf_message_handler as mms_protocol
from support import mms_bytes

from sagemaker_inference._http.messages import Response
from sagemaker_inference._ipc import wire

LIMIT = 1 << 20
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
# MMS's reader decodes JSON and text by itself; this type it leaves alone.
fields = st.tuples(names, st.just("application/x-npy"), st.binary(max_size=64))
requests = st.tuples(
    names, st.lists(st.tuples(names, names), max_size=3), st.lists(fields, max_size=3)
)
small = st.integers(0, 1000)


def read_by_mms(data):
    """What MMS's back end makes of bytes that arrive at its socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=ours.sendall, args=(data,))
        sender.start()
        found = mms_protocol.retrieve_msg(theirs)
        sender.join()
    return found


@settings(max_examples=50)  # each opens a socket
@given(st.lists(requests, max_size=3))
def test_a_predict_message_is_read_as_mms_reads_it(batch):
    data = mms_bytes.predict(*(mms_bytes.request(*asked) for asked in batch))
    command, theirs = read_by_mms(data)
    ours, end = wire.read(data, LIMIT)
    assert command == b"I"
    assert end == len(data)
    assert len(ours) == len(theirs) == len(batch)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.id == other["requestId"].decode()
        expected = {h["name"].decode().lower(): h["value"].decode() for h in other["headers"]}
        assert {name.lower(): value for name, value in mine.headers.items()} == expected
        parts = [(p["name"], p["contentType"], bytes(p["value"])) for p in other["parameters"]]
        assert bytes(mine.body) == b""
        assert [(p.name, p.content_type, bytes(p.value)) for p in mine.parameters] == parts


@settings(max_examples=50)
@given(names, names, small, names, st.integers(-1, 7), names)
def test_a_load_message_is_read_as_mms_reads_it(name, path, batch_size, handler, gpu, files):
    data = mms_bytes.load(name, path, batch_size, handler, gpu, files)
    command, theirs = read_by_mms(data)
    ours, end = wire.read(data, LIMIT)
    assert command == b"L"
    assert end == len(data)
    assert ours.model_name == theirs["modelName"].decode()
    assert ours.model_path == theirs["modelPath"].decode()
    assert ours.batch_size == theirs["batchSize"]
    assert ours.handler == theirs["handler"].decode()
    assert ours.gpu_id == theirs.get("gpu", -1)
    assert ours.io_name == theirs["ioFileDescriptor"].decode()


def test_a_message_may_arrive_byte_by_byte():
    asked = mms_bytes.request("id", [("A", "1")], [("body", "text/csv", b"1,2")])
    data = mms_bytes.predict(asked, asked)
    for end in range(1, len(data)):
        needed = wire.read(data[:end], LIMIT)
        assert isinstance(needed, int)
        assert end < needed <= len(data)
    assert wire.read(data, LIMIT)[1] == len(data)


def test_headers_that_come_again_are_not_read_again():
    def read(data, *headers):
        asked = mms_bytes.request("id", list(headers), [("body", "a/b", data)])
        ((request,), _) = wire.read(mms_bytes.predict(asked), LIMIT)
        return request

    common = [("Host", "a"), ("Accept", "text/csv")]
    first, second = read(b"1", *common), read(b"2", *common)
    assert second.headers is first.headers
    assert (bytes(first.body), bytes(second.body)) == (b"1", b"2")
    assert dict(read(b"3", *common, ("X", "1")).headers) == {**dict(common), "X": "1"}
    assert dict(read(b"4", *common[:1]).headers) == {"Host": "a"}
    assert dict(read(b"5").headers) == {}
    long = ("X", "1" * 5000)
    assert read(b"6", long).headers is not read(b"7", long).headers


@pytest.mark.parametrize("data", [b"X", b"I" + b"\x7f\xff\xff\xff", b"I" + b"\xff\xff\xff\xfe"])
def test_what_no_front_end_sends_is_refused(data):
    with pytest.raises(wire.WireError):
        wire.read(data + bytes(64), LIMIT)


lines = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=12)
responses = st.builds(
    lambda body, kind, status, phrase, headers: Response(
        body, kind, status=status, phrase=phrase, headers={"content-type": kind, **headers}
    ),
    st.binary(max_size=64),
    lines,
    st.integers(200, 599),
    lines,
    st.dictionaries(lines, lines, max_size=3),
)


def written_by_mms(answers):
    context = Context("model", "/m", None, len(answers), None, "1")
    context.request_processor = [RequestProcessor({}) for _ in answers]
    for index, (_, response) in enumerate(answers):
        for name, value in response.headers.items():
            context.set_response_header(index, name, value)
        context.set_response_status(response.status, response.phrase, index)
    return bytes(
        mms_protocol.create_predict_response(
            [response.body for _, response in answers],
            {index: request_id for index, (request_id, _) in enumerate(answers)},
            "OK",
            200,
            context=context,
        )
    )


@given(st.lists(st.tuples(names, responses), min_size=1, max_size=3))
def test_answers_are_written_as_mms_writes_them(answers):
    assert b"".join(wire.write_batch(answers)) == written_by_mms(answers)


@given(names, responses)
def test_a_single_answer_is_written_as_mms_writes_it(request_id, response):
    assert b"".join(wire.write(request_id, response)) == written_by_mms([(request_id, response)])


def test_an_answer_for_a_dead_worker_differs_from_its_own_by_the_text_alone():
    response = Response(b"body", "a/b", status=504)
    own = mms_bytes.Reader(b"".join(wire.write("id", response))).reply()
    other = mms_bytes.Reader(b"".join(wire.write_for_lost("id", response))).reply()
    assert own[:2] == (200, "OK")
    assert other == (200, "lost", own[2])


def test_a_view_is_written_as_its_bytes():
    shown = Response(memoryview(bytearray(b"1234")).cast("i"), "x")
    plain = Response(b"1234", "x")
    assert b"".join(wire.write("id", shown)) == b"".join(wire.write("id", plain))
    assert b"".join(wire.write_batch([("id", shown)])) == b"".join(wire.write("id", plain))


@pytest.mark.parametrize("value", ["a\nb", "a\r\n\x00b"])
def test_a_header_with_a_line_break_becomes_one_line(value):
    response = Response(b"", "x", headers={"X-A": value})
    _, _, (answer,) = mms_bytes.Reader(b"".join(wire.write("id", response))).reply()
    assert answer.headers == {"X-A": "a b"}


@given(names, small)
def test_a_loaded_model_is_reported_as_mms_reports_it(name, pid):
    status, message, answers = mms_bytes.Reader(wire.loaded(name, pid)).reply()
    assert wire.loaded(name, pid) == bytes(mms_protocol.create_load_model_response(200, message))
    assert (status, answers) == (200, [])
    # The front end takes what follows the last colon for the process id.
    assert message.rpartition(":")[2] == str(pid)


def test_a_query_parameter_that_is_named_body_is_beside_the_body():
    parts = [("body", "", b"q"), ("body", "text/csv", b"1,2"), ("a", "", b"3")]
    (found,), _ = wire.read(mms_bytes.predict(mms_bytes.request("id-1", [], parts)), LIMIT)
    assert bytes(found.body) == b"1,2"
    assert [(part.name, bytes(part.value)) for part in found.parameters] == [
        ("body", b"q"),
        ("a", b"3"),
    ]


def test_a_request_to_a_further_path_says_which():
    message = mms_bytes.predict_at("/v1/é", "id-1", b"abc")
    [request], end = wire.read(message + b"more", LIMIT)
    assert end == len(message)
    assert (request.path, request.id, bytes(request.body)) == ("/v1/é", "id-1", b"abc")
    for size in range(1, len(message)):
        needed = wire.read(message[:size], LIMIT)
        assert isinstance(needed, int)
        assert size < needed <= len(message)


@pytest.mark.parametrize("query", ["a=b&c", ""])
def test_a_request_for_a_websocket_says_where_and_with_which_query(query):
    message = mms_bytes.upgrade("/v1/é", query, "id-1", [("X-Own", "own")])
    [request], end = wire.read(message + b"more", LIMIT)
    assert end == len(message)
    assert (request.path, request.query, request.id) == ("/v1/é", query, "id-1")
    assert dict(request.headers) == {"X-Own": "own"}
    for size in range(1, len(message)):
        needed = wire.read(message[:size], LIMIT)
        assert isinstance(needed, int)
        assert size < needed <= len(message)


@pytest.mark.parametrize("command", [b"P", b"W"])
def test_a_path_of_no_length_that_can_be_is_refused(command):
    with pytest.raises(wire.WireError):
        wire.read(command + mms_bytes.number(-2) + b"more", LIMIT)
