import json
import logging
import os
import re

import pytest

from sagemaker_inference._http.messages import Headers, Request, Response
from sagemaker_inference._worker.access_log import AccessLog


@pytest.fixture
def written():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write(level=logging.INFO, **options):
        log = AccessLog(writer, level, **options)
        response = Response(b"", "a/b", status=404)
        response.decode_seconds, response.predict_seconds = 0.001, 0.25
        for _ in range(2):
            log.write(Request("id-1", Headers(), ()), response, 0.0123)
        try:
            return os.read(reader, 10_000).decode()
        except BlockingIOError:
            return ""

    yield write
    os.close(reader)
    os.close(writer)


def test_a_line_has_status_times_and_id(written):
    line = written().splitlines()[0]
    assert line.endswith(
        "Z INFO POST /invocations 404 queue=12.3 decode=1.00 predict=250.00 encode=0.00 ms id=id-1"
    )


def test_times_are_to_the_millisecond(written):
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(stamp, written().split()[0])
    assert re.fullmatch(stamp, json.loads(written(as_json=True).splitlines()[0])["time"])


def test_a_line_names_the_model_among_many(written):
    path = "/models/50%25/invoke"
    assert f" INFO POST {path} 404 queue=" in written(path=path)
    assert json.loads(written(path=path, as_json=True).splitlines()[0])["path"] == path


def test_a_line_can_be_json(written):
    lines = [json.loads(line) for line in written(as_json=True).splitlines()]
    assert len(lines) == 2
    assert lines[0]["status"] == 404
    assert lines[0]["queue_ms"] == 12.3
    assert lines[0]["request_id"] == "id-1"


def test_above_info_there_are_no_lines(written):
    assert written(logging.WARNING) == ""


def test_a_log_that_is_full_costs_lines_and_they_are_counted(caplog):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = AccessLog(writer, logging.INFO)

    def write():
        log.write(Request("id-1", Headers(), ()), Response(b"", "a/b"), 0.0)

    while not log._lost:
        write()
    write()
    assert "were lost" not in caplog.text
    while len(os.read(reader, 1 << 16)) == 1 << 16:
        pass
    write()
    write()
    assert caplog.text.count("2 access lines were lost: nobody read the log in time") == 1
    for fd in (reader, writer):
        os.close(fd)


def test_a_log_that_is_closed_costs_lines():
    reader, writer = os.pipe()
    os.close(reader)
    log = AccessLog(writer, logging.INFO)
    log.write(Request("id-1", Headers(), ()), Response(b"", "a/b"), 0.0)
    assert log._lost == 1
    os.close(writer)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_names_a_further_path(as_json):
    reader, writer = os.pipe()
    log = AccessLog(writer, logging.INFO, as_json=as_json)
    for path in ("/embed", "/invocations", "/embed"):
        log.write(Request("id-1", Headers(), path=path), Response(b"", "a/b"), 0.0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        text = lines.read().splitlines()
    assert ["/embed" in line for line in text] == [True, False, True]
    assert ["/invocations" in line for line in text] == [False, True, False]
