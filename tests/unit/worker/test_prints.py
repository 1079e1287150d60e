import io
import json
import sys
import threading

import pytest

from sagemaker_inference._log import current_request
from sagemaker_inference._worker.prints import JsonPrints, print_json


@pytest.fixture
def printed():
    target = io.TextIOWrapper(io.BytesIO())
    stream = JsonPrints(target, "stdout", "INFO")

    def lines():
        return [json.loads(line) for line in target.buffer.getvalue().decode().splitlines()]

    return stream, lines


def test_a_printed_line_is_a_json_object(printed):
    stream, lines = printed
    token = current_request.set("id-7")
    print("loss", 0.5, "\nünder \x00 \ud800", file=stream)
    current_request.reset(token)
    first, second = lines()
    assert first.pop("time").endswith("Z")
    expected = {"level": "INFO", "logger": "stdout", "request_id": "id-7"}
    assert first == {**expected, "message": "loss 0.5 "}
    assert second["message"] == "ünder \x00 \ud800"


def test_json_objects_that_a_program_prints_are_unchanged(printed):
    stream, lines = printed
    print('{"mine": 1}\n[1]\n{broken', file=stream)
    mine, array, broken = lines()
    assert mine == {"mine": 1}
    assert (array["message"], broken["message"]) == ("[1]", "{broken")


def test_blank_lines_and_states_of_progress_bars_are_left_out(printed):
    stream, lines = printed
    stream.write("\n  \n10 %\r50 %\r100 %\r\n")
    assert [line["message"] for line in lines()] == ["100 %"]


def test_threads_print_whole_lines(printed):
    stream, lines = printed
    stream.write("first")
    thread = threading.Thread(target=stream.write, args=("other\n",))
    thread.start()
    thread.join()
    stream.write(" half\n")
    assert [line["message"] for line in lines()] == ["other", "first half"]


def test_a_line_without_an_end_is_written_at_exit_or_when_it_is_long(printed):
    stream, lines = printed
    stream.write("x" * 70_000)
    stream.write("the end")
    stream.end_line()
    stream.end_line()
    assert [len(line["message"]) for line in lines()] == [70_000, 7]


def test_only_text_is_printed(printed):
    with pytest.raises(TypeError, match="must be str, not bytes"):
        printed[0].write(b"bytes")


def test_both_streams_of_a_process_become_json(monkeypatch):
    targets = [io.TextIOWrapper(io.BytesIO()) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", targets[0])
    monkeypatch.setattr("sys.stderr", targets[1])
    print_json()
    print("out")  # noqa: T201 - as programs do
    print("err", file=sys.stderr)  # noqa: T201
    found = [json.loads(target.buffer.getvalue()) for target in targets]
    assert [(line["logger"], line["level"], line["message"]) for line in found] == [
        ("stdout", "INFO", "out"),
        ("stderr", "WARNING", "err"),
    ]
