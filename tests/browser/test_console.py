"""The console of ``sagemaker-inference dev``, in Chromium, with the real server."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.developed import Developed, developed
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.browser

PROGRAM = """\
import os
import struct
import time
import zlib
from collections.abc import Iterator

from sagemaker_inference import encoder, model_loader, predictor


@model_loader
def load(model_dir):
    return ["setosa", "versicolor", "virginica"]


@predictor(max_batch_size=8)
def predict(batch: list[list[list[float]]], model: list[str]) -> list[list[dict]]:
    return [
        [{"species": model[int(row[2] // 2.5)], "area": row[2] * row[3]} for row in rows]
        for rows in batch
    ]


@encoder("image/png")
def draw(prediction):
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 64, 32, 8, 0, 0, 0, 0)
    rows = b"".join(b"\\x00" + bytes(range(0, 256, 4)) for _ in range(32))
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(parts)


@encoder("image/svg+xml")
def outline(prediction):
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32">'
    return head + "<script>alert(1)</script><rect width='9' height='9'/></svg>"


@predictor("/rows")
def rows(data):
    return [["a", "b, c"], [1, 2.5]]


@predictor("/stream")
def stream(data) -> Iterator[str]:
    yield "first"
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.01)
    yield "second"


@predictor("/broken")
def broken(data) -> Iterator[str]:
    yield "first"
    raise KeyError("no second")
"""
ROWS = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]]


class Running:
    """The command, and the URL of its console."""

    def __init__(self, dev: Developed, console: str, go_on: Path) -> None:
        self.dev = dev
        self.console = console
        self.go_on = go_on


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("program")
    (folder / "model").mkdir()
    (folder / "inference.py").write_text(PROGRAM)
    (folder / "request.json").write_text(json.dumps(ROWS))
    go_on = tmp_path_factory.mktemp("other") / "go-on"
    port = free_port()
    # The folder of a server that several tests use: nothing is to be left in it in the end.
    temporary = Path(tempfile.mkdtemp(prefix="server-"))
    variables = {"GO_ON": str(go_on), "TMPDIR": str(temporary)}
    with developed(folder, "--console", str(port), **variables) as dev:
        dev.until(dev.is_up)
        yield Running(dev, f"http://127.0.0.1:{port}/", go_on)
        assert dev.stop() == 0
    temporary.rmdir()


@pytest.fixture
def console(running: Running, page: Any) -> Any:
    """The console's page, with its samples."""
    page.goto(running.console)
    page.wait_for_selector("#sample option", state="attached")
    page.wait_for_selector("#findings p:has-text('rules passed')")
    return page


def send(page: Any, **fields: str) -> None:
    """Fill the form in, and send it."""
    for name, text in fields.items():
        page.fill(f"#{name}", text)
    page.click("#send")


def status(page: Any) -> str:
    """The status of the response, once it is there."""
    page.wait_for_selector("#status:visible")
    return str(page.inner_text("#status"))


def test_a_sample_is_sent_and_its_response_is_a_table(
    console: Any, running: Running, screenshot: Callable[[str], None]
) -> None:
    for _ in range(30):
        running.dev.invoke(ROWS)
    assert console.inner_text("#health") == "healthy"
    assert console.inner_text("#address").endswith("the real server")
    console.select_option("#sample", label="/invocations: application/json")
    assert json.loads(console.input_value("#body")) == ROWS
    send(console, accept="application/json")
    assert status(console) == "200"
    console.wait_for_selector("#view table td")
    cells = console.locator("#view table td")
    assert cells.all_inner_texts()[:2] == ["setosa", "0.27999999999999997"]
    assert console.locator("#view table th").all_inner_texts() == ["species", "area"]
    # It is among the last requests, and counted.
    console.wait_for_selector("#requests td:text-is('POST /invocations')")
    console.wait_for_selector("#plot-rate rect", state="attached")
    assert "in progress" in console.inner_text("#queue")
    # A size of batches is written as it is, not stretched with its plot.
    console.wait_for_selector("#plot-batches text", state="attached")
    scale = "one => { const { a, d } = one.getScreenCTM(); return a / d; }"
    assert console.locator("#plot-batches text").first.evaluate(scale) == pytest.approx(1, abs=0.05)
    screenshot("console.png")


def test_an_error_shows_its_traceback(console: Any, screenshot: Callable[[str], None]) -> None:
    send(console, path="/invocations", type="application/json", body="[[5.1, 3.5, 9.9, 0.2]]")
    assert status(console) == "500"
    console.wait_for_selector("#view .traceback")
    trace = console.inner_text("#view .traceback")
    assert trace.startswith("Traceback (most recent call last):")
    assert "IndexError: list index out of range" in trace
    # The same stands with the request.
    console.locator("#requests tr:has(td.bad)").first.click()
    console.wait_for_selector("#details .traceback")
    assert "[[5.1, 3.5, 9.9, 0.2]]" not in console.inner_text("#details .traceback")
    assert "first byte: " in console.inner_text("#details")
    console.locator("#details").scroll_into_view_if_needed()
    screenshot("console-error.png")


def test_an_image_is_shown(console: Any) -> None:
    send(console, path="/invocations", body=json.dumps(ROWS), accept="image/png")
    image = console.wait_for_selector("#view img")
    assert image.bounding_box()["width"] >= 64
    assert image.get_attribute("alt").endswith("bytes of image/png")


def test_an_svg_is_the_source_of_an_image(console: Any) -> None:
    send(console, path="/invocations", body=json.dumps(ROWS), accept="image/svg+xml")
    image = console.wait_for_selector("#view img")
    assert image.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
    assert image.get_attribute("alt").endswith("bytes of image/svg+xml")
    assert "<script>alert(1)</script>" in console.inner_text("#view pre")
    assert not console.locator("#view svg, #view script").count()


def test_csv_is_a_table(console: Any) -> None:
    send(console, path="/rows", body="1", accept="text/csv")
    console.wait_for_selector("#view table")
    cells = console.locator("#view table td").all_inner_texts()
    assert cells == ["a", "b, c", "1", "2.5"]
    assert "text/csv" in console.inner_text("#timing")


def test_a_stream_is_shown_as_it_comes(console: Any, running: Running) -> None:
    running.go_on.unlink(missing_ok=True)
    send(console, path="/stream", body="1", accept="application/jsonlines")
    console.wait_for_selector("#view pre:has-text('first')")
    assert "second" not in console.inner_text("#view")
    running.go_on.touch()
    console.wait_for_selector("#view pre:has-text('second')")
    assert status(console) == "200"


def test_a_stream_is_stopped(console: Any, running: Running) -> None:
    running.go_on.unlink(missing_ok=True)
    send(console, path="/stream", body="1", accept="application/jsonlines")
    console.wait_for_selector("#view pre:has-text('first')")
    console.click("#stop")
    console.wait_for_selector("#timing:has-text('stopped')")
    # The program notices when it yields.
    running.go_on.touch()
    console.wait_for_selector("#requests td:text-is('POST /stream')")


def test_a_stream_that_breaks_off_is_not_taken_for_a_whole_one(console: Any) -> None:
    send(console, path="/broken", body="1", accept="application/jsonlines")
    end = "The response broke off: the server has not completed the response."
    console.wait_for_selector(f"#view p.bad:has-text('{end}')")
    shown = console.inner_text("#view pre")
    assert shown.startswith('"first"\n')
    assert "prediction_failed" in shown
    assert status(console) == "200"
    assert "bad" in console.get_attribute("#status", "class")
    assert ", broken off after " in console.inner_text("#timing")
    assert console.is_disabled("#stop")


def test_a_request_takes_the_place_of_the_one_before(console: Any, running: Running) -> None:
    running.go_on.unlink(missing_ok=True)
    send(console, path="/stream", body="1", accept="application/jsonlines")
    console.wait_for_selector("#view pre:has-text('first')")
    console.click("#send")
    # The end of the one before is not that of this one.
    console.wait_for_timeout(300)
    assert console.inner_text("#timing") == "waiting"
    assert not console.inner_text("#view")
    console.click("#stop:enabled")
    console.wait_for_selector("#timing:has-text('stopped')")
    running.go_on.touch()


def test_a_request_that_nobody_answers_says_so(console: Any) -> None:
    send(console, path="/rows", body="1", accept="text/csv")
    console.wait_for_selector("#view table")
    # As after the end of dev.
    console.route("**/api/send?**", lambda route: route.abort("connectionrefused"))
    console.click("#send")
    console.wait_for_selector(
        "#view p.bad:has-text('There is no response (Failed to fetch). If dev')"
    )
    assert not console.locator("#view table").count()
    assert not console.is_visible("#status")
    assert not console.inner_text("#timing")


def test_a_body_that_is_not_text_is_sent_from_a_file(console: Any, tmp_path: Path) -> None:
    body = tmp_path / "body.bin"
    body.write_bytes(b"\xff\xfe\x00")
    console.set_input_files("#file", body)
    console.wait_for_selector("#body:disabled")
    assert console.get_attribute("#body", "placeholder") == "3 bytes that are not text"
    send(console, path="/invocations", type="application/json")
    assert status(console) == "400"


def test_a_program_that_does_not_load_is_explained_and_mended(
    console: Any, running: Running, screenshot: Callable[[str], None]
) -> None:
    running.dev.edit('return ["setosa"', 'return undefined_name + ["setosa"')
    console.wait_for_selector("#problem:visible")
    said = console.inner_text("#problem")
    assert "NameError: name 'undefined_name' is not defined" in said
    # The one before goes on.
    assert console.inner_text("#health") == "healthy"
    screenshot("console-problem.png")
    running.dev.edit("return undefined_name + [", "return [")
    console.wait_for_selector("#problem", state="hidden")
    console.wait_for_selector("#phase:has-text('program 2')")
