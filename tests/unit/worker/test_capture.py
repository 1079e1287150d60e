"""Requests that are captured: what is written, and what it costs nobody when it cannot be."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config, request

from sagemaker_inference._http import captured, content_coding
from sagemaker_inference._http.messages import Headers, Request, Response
from sagemaker_inference._worker import capture as capturing
from sagemaker_inference._worker import capture_folder
from sagemaker_inference._worker.capture import Capture, capture_for, keep_input
from sagemaker_inference._worker.capture_folder import CaptureFolder
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagemaker_inference import Registry

MOMENT = 1_790_000_000.25
MEGABYTE = 1 << 20
BROKEN = (
    b'{"captureData": {"endpointInput": {"data": "1", "encoding": "BASE64"}, '
    b'"endpointOutput": {"data": ""}}}'
)


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is one of Python's, which a measurement of coverage sees."""

    def start(function: Callable[[], None], _arguments: object) -> None:
        threading.Thread(target=function, daemon=True).start()

    monkeypatch.setattr(capturing, "start_new_thread", start)


def written(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.rglob("*.jsonl"))
    return [json.loads(text) for path in paths for text in path.read_bytes().splitlines()]


def capture(folder: Path, **changes: Any) -> Capture:
    report_seconds = changes.pop("report_seconds", 0.0)
    return Capture(config(capture=str(folder), **changes), report_seconds=report_seconds)


def line(number: int = 0, size: int = 10) -> bytes:
    return json.dumps({"number": number, "text": "x" * size}).encode() + b"\n"


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process gets larger: the system refuses as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Lines.


def test_a_line_has_the_form_of_sagemakers_own() -> None:
    asked = Request.from_body(
        b"1,2\n",
        "text/csv",
        headers={
            "x-amzn-sagemaker-custom-attributes": "a=b",
            "X-Amzn-SageMaker-Inference-Id": "of-mine",
        },
        id="some-id",
    )
    found = captured.write(asked, Response(b"[3]", "application/json"), b"[3]", MOMENT)
    assert found == (
        b'{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT",'
        b'"data":"1,2\\n","encoding":"CSV"},"endpointOutput":{"observedContentType":'
        b'"application/json","mode":"OUTPUT","data":"[3]","encoding":"JSON"}},"eventMetadata":'
        b'{"eventId":"some-id","customAttributes":["a=b"],"inferenceId":"of-mine",'
        b'"inferenceTime":"2026-09-21T14:13:20Z"},"eventVersion":"0"}\n'
    )
    assert captured.read(found) == (
        "some-id", "text/csv", b"1,2\n", "a=b", "of-mine", "application/json", b"[3]",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"\xff\x00", "image/png", "BASE64"),
        (b"a", "", "BASE64"),
        ("é".encode("latin-1"), "text/csv; charset=latin-1", "BASE64"),
        ("é".encode(), "Text/CSV; charset=utf-8", "CSV"),
        (b"1\n2\n", "application/jsonlines", "JSON"),
        (memoryview(b"[1]"), "application/json", "JSON"),
    ],
)
def test_bodies_are_text_where_that_is_all_of_them(
    body: bytes, content_type: str, encoding: str
) -> None:
    found = captured.write(request(body, content_type), Response(body, content_type), body, MOMENT)
    data = json.loads(found)["captureData"]
    assert {data["endpointInput"]["encoding"], data["endpointOutput"]["encoding"]} == {encoding}
    read = captured.read(found)
    assert (read.body, read.answer) == (bytes(body), bytes(body))
    assert (read.content_type, read.answer_type) == (content_type, content_type)


def test_bodies_are_captured_unpacked_where_they_can_be() -> None:
    packed = content_coding.pack(b"[1]")
    asked = request(packed, headers={"Content-Encoding": "gzip"})
    response = Response(packed, "application/json", headers={"content-encoding": "gzip"})
    found = captured.read(captured.write(asked, response, packed, MOMENT))
    assert (found.body, found.answer) == (b"[1]", b"[1]")
    odd = request(b"[1]", headers={"Content-Encoding": "gzip"})
    found = captured.read(captured.write(odd, response, packed, MOMENT))
    assert found.body == b"[1]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"captureData', "is not JSON"),
        (b"[]", "is not a captured request: its parts are others"),
        (b'{"captureData": {"endpointInput": {"data": "1"}}}', "has no endpointOutput"),
        (BROKEN, "is not a captured request"),
        (BROKEN.replace(b'"1"', b"1"), "is not a captured request"),
    ],
)
def test_a_line_that_is_none_says_so(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        captured.read(text)


def test_lines_of_sagemaker_may_have_less() -> None:
    half = {"data": "1", "encoding": "CSV"}
    data = {"endpointInput": half, "endpointOutput": half}
    found = captured.read(json.dumps({"captureData": data}).encode())
    assert found == ("", "", b"1", "", "", "", b"1")
    other = {"captureData": data, "eventMetadata": {"customAttributes": "a=b"}}
    assert captured.read(json.dumps(other).encode()).custom_attributes == "a=b"


# The folder.


def test_each_hour_and_model_has_a_folder_of_files_for_its_owner_alone(tmp_path: Path) -> None:
    folder = CaptureFolder(str(tmp_path / "a" / "b"), MEGABYTE, "../m é")
    assert folder.write([line(1), line(2)], MOMENT) == 2
    assert folder.write([line(3)], MOMENT + 3600) == 1
    folder.close()
    root = tmp_path / "a" / "b" / "_._m_é"
    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(path.parent.relative_to(root)) for path in files] == [
        "2026/09/21/14",
        "2026/09/21/15",
    ]
    assert [path.name[:10] for path in files] == ["13-20-250-"] * 2
    assert [item["number"] for item in written(root)] == [1, 2, 3]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_file_that_somebody_takes_away_is_replaced(tmp_path: Path) -> None:
    folder = CaptureFolder(str(tmp_path), MEGABYTE)
    folder.write([line(1)], MOMENT)
    next(tmp_path.rglob("*.jsonl")).unlink()
    folder.write([line(2)], MOMENT)
    folder.close()
    folder.close()
    assert [item["number"] for item in written(tmp_path)] == [2]


def test_a_folder_has_a_limit_for_all_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of-another-worker.jsonl").write_bytes(line(0, MEGABYTE - 100_000))
    folder = CaptureFolder(str(tmp_path), MEGABYTE)
    lines = [line(number, 30_000) for number in range(5)]
    assert folder.write(lines, MOMENT) == 3
    assert "SAGEMAKER_MAX_CAPTURE_IN_MB=1." in folder.problem
    (tmp_path / "of-another-worker.jsonl").unlink()
    # It does not look again at once.
    assert folder.write(lines, MOMENT) == 0
    monkeypatch.setattr(capture_folder, "_FULL_SECONDS", -1.0)
    assert folder.write(lines, MOMENT) == 5
    assert folder.problem == ""
    folder.close()
    assert len(written(tmp_path)) == 8


def test_what_others_write_counts(tmp_path: Path) -> None:
    folder = CaptureFolder(str(tmp_path), 3 * MEGABYTE)
    assert folder.write([line(1)], MOMENT) == 1
    other = CaptureFolder(str(tmp_path), 3 * MEGABYTE)
    assert other.write([line(2, 2 * MEGABYTE)], MOMENT) == 1
    assert folder.write([line(3, MEGABYTE)], MOMENT) == 0
    assert folder.write([line(4)], MOMENT) == 1
    folder.close()
    other.close()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    folder = CaptureFolder(str(tmp_path), 100 * MEGABYTE)
    size = len(line(1, 4000))
    with full_disk(2 * size + 100):
        assert folder.write([line(1, 4000)], MOMENT) == 1
        assert folder.write([line(2, 4000), line(3, 4000), line(4, 4000)], MOMENT) == 1
        assert "File too large" in folder.problem
        assert [item["number"] for item in written(tmp_path)] == [1, 2]
    assert folder.write([line(5)], MOMENT) == 1
    folder.close()
    assert [item["number"] for item in written(tmp_path)] == [1, 2, 5]


# What waits for nobody.


def test_answers_are_captured_and_failures_are_not(tmp_path: Path) -> None:
    capturer = capture(tmp_path)
    capturer.add(request(b"1"), Response(b"2", "application/json"))
    capturer.add(request(b"2"), Response(b"no", "application/json", status=400))
    capturer.add(request(b"3"), Response(b"", "", status=101))
    other = request(b"4")
    other.path = "/v1/completions"
    capturer.add(other, Response(b"4", "application/json"))
    capturer.close()
    assert [item["captureData"]["endpointInput"]["data"] for item in written(tmp_path)] == ["1"]


def test_a_share_is_captured_whatever_a_program_does_with_random(tmp_path: Path) -> None:
    none, some = (
        capture(tmp_path / "none", capture_percentage=0),
        capture(tmp_path / "some", capture_percentage=50),
    )
    random.seed(7)
    expected = random.Random(7).random()  # noqa: S311 - no secret
    for _ in range(1000):
        none.add(request(), Response(b"", "application/json"))
        some.add(request(), Response(b"", "application/json"))
    assert random.random() == expected  # noqa: S311 - as above
    none.close()
    some.close()
    assert written(tmp_path / "none") == []
    # Beyond once in 10^20 runs.
    assert 350 < len(written(tmp_path / "some")) < 650


def test_a_folder_that_cannot_be_written_costs_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    capturer = capture(tmp_path / "file", report_seconds=1000)
    for _ in range(300):
        capturer.add(request(), Response(b"", "application/json"))
        time.sleep(0.0001)
    capturer.close()
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 2
    assert all(text.startswith("SAGEMAKER_CAPTURE: ") for text in lines)
    assert all(f"Not a directory: '{tmp_path / 'file'}" in text for text in lines)
    assert sum(int(text.split()[1]) for text in lines) == 300


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Set when the first lines are to be written; they are when the test sets the second."""
    blocked, free = threading.Event(), threading.Event()

    def slow(self: CaptureFolder, lines: list[bytes], seconds: float) -> int:
        blocked.set()
        assert free.wait(10)
        return usual(self, lines, seconds)

    usual = CaptureFolder.write
    monkeypatch.setattr(CaptureFolder, "write", slow)
    return blocked, free


def test_more_than_is_written_at_once_may_wait(
    tmp_path: Path, gate: tuple[threading.Event, threading.Event]
) -> None:
    blocked, free = gate
    capturer = capture(tmp_path)
    capturer.add(request(), Response(b"", "application/json"))
    assert blocked.wait(10)
    for _ in range(300):
        capturer.add(request(), Response(b"", "application/json"))
    free.set()
    capturer.close(10)
    assert len(written(tmp_path)) == 301


def test_what_does_not_fit_into_memory_is_dropped_and_counted(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    gate: tuple[threading.Event, threading.Event],
) -> None:
    blocked, free = gate
    monkeypatch.setattr(capturing, "WAITING_LIMIT", 20_000)
    capturer = capture(tmp_path, report_seconds=0.05)
    capturer.add(request(), Response(b"", "application/json"))
    assert blocked.wait(10)
    for _ in range(100):
        capturer.add(request(), Response(b"", "application/json"))
    free.set()
    capturer.close()
    kept = len(written(tmp_path))
    assert 1 < kept < 20
    dropped = [record.getMessage() for record in caplog.records]
    assert sum(int(text.split()[1]) for text in dropped) == 101 - kept
    assert "faster than they can be written" in dropped[0]


def test_what_was_dropped_is_logged_while_nothing_more_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capturing, "WAITING_LIMIT", 0)
    capturer = capture(tmp_path, report_seconds=0.02)
    for count in (1, 2):
        capturer.add(request(), Response(b"", "application/json"))
        deadline = time.monotonic() + 10
        while len(caplog.records) < count:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    capturer.close()
    assert all("1 request not captured: " in message for message in caplog.messages)


def test_a_disk_that_hangs_does_not_keep_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, ended = threading.Event(), threading.Event()

    def hang(self: CaptureFolder, lines: list[bytes], seconds: float) -> int:
        free.wait(10)
        return len(lines)

    monkeypatch.setattr(CaptureFolder, "write", hang)
    monkeypatch.setattr(CaptureFolder, "close", lambda _: ended.set())
    capturer = capture(tmp_path)
    capturer.add(request(), Response(b"", "application/json"))
    capturer.close(0.01)
    assert caplog.messages == ["SAGEMAKER_CAPTURE: the last requests were not captured"]
    free.set()
    assert ended.wait(10)


def test_an_answer_that_is_no_text_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    capturer = capture(tmp_path)
    capturer.add(request(), Response(b"", "a/\udcff"))
    capturer.add(request(), Response(b"2", "application/json"))
    capturer.close()
    assert len(written(tmp_path)) == 1
    assert "1 request not captured: TypeError" in caplog.text


def test_without_the_variable_there_is_nothing() -> None:
    assert capture_for(config()) is None


def test_one_of_many_models_has_a_folder(tmp_path: Path) -> None:
    for is_many, expected in ((True, tmp_path / "iris"), (False, tmp_path)):
        capturer = capture_for(config(capture=str(tmp_path), multi_model=is_many), "iris")
        assert capturer is not None
        capturer.add(request(), Response(b"", "application/json"))
        capturer.close()
        assert next(expected.glob("2*")).is_dir()


def test_what_programs_may_change_is_kept() -> None:
    buffer = bytearray(b"abc")
    large = Request("id", Headers(), memoryview(buffer))
    small = Request("id", Headers(), b"abc")
    keep_input([large, small])
    buffer[0] = 0
    assert (large.body, small.body) == (b"abc", b"abc")


# The ASGI application.


@pytest.mark.parametrize("threads", [1, 2])
def test_a_program_in_process_is_captured(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    def predict(data: Any) -> Any:
        return iter([data, data]) if data == 5 else data

    registry.model_loader(lambda: None)
    registry.predictor(threads=threads)(predict)
    monkeypatch.setenv("SAGEMAKER_CAPTURE", str(tmp_path))
    with TestClient(registry) as client:
        for data in (4, 5):
            client.invoke(data).raise_for_status()
        client.invoke(b"{", "application/json")
    pairs = [
        tuple(half["data"] for half in item["captureData"].values()) for item in written(tmp_path)
    ]
    assert sorted(pairs) == [("4", "4"), ("5", "5\n5\n")]


def test_an_async_program_in_process_is_captured(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data: Any) -> Any:
        return data

    monkeypatch.setenv("SAGEMAKER_CAPTURE", str(tmp_path))
    with TestClient(registry) as client:
        reply = client.invoke(4)
    (item,) = written(tmp_path)
    assert item["eventMetadata"]["eventId"] == reply.headers["x-request-id"]
