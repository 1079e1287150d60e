"""Forms and files that the test client sends."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sagemaker_inference import Registry, Upload
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URLENCODED = "application/x-www-form-urlencoded"


def shown(part: Any) -> Any:
    if isinstance(part, Upload):
        return [part.filename, part.content_type, part.read().decode()]
    return part.tolist() if isinstance(part, np.ndarray) else part


def client_for(hint: Any) -> TestClient:
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return {name: list(map(shown, parts)) for name, parts in data.items()}

    predict.__annotations__ = {"data": hint}
    registry.predictor(predict)
    return TestClient(registry)


@pytest.fixture
def uploads() -> Iterator[TestClient]:
    with client_for(dict[str, list[Upload]]) as client:
        yield client


@pytest.fixture
def texts() -> Iterator[TestClient]:
    with client_for(dict[str, list[Any]]) as client:
        yield client


def test_files_are_sent_with_their_names_and_types(uploads: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"1,2")
    with path.open("rb") as opened:
        files = {
            "bytes": b"a",
            "text": "ü",
            "path": path,
            "open": opened,
            "memory": io.BytesIO(b"m"),
            "named": ("a.png", b"p"),
            "typed": ("a.png", path, "image/webp"),
            "untyped": ("a.png", b"p", ""),
            "unknown": ("a.xyzzy", b"x"),
            "array": ("a.npy", b"n"),
            "field": (None, b"{}", "application/json"),
            "several": [b"1", ("2.txt", "2")],
            "quoted": ('a"b.txt', b"q"),
        }
        reply = uploads.invoke(files=files)
    binary = "application/octet-stream"
    assert reply.json() == {
        "bytes": [["upload", binary, "a"]],
        "text": [["upload", binary, "ü"]],
        "path": [["rows.csv", "text/csv", "1,2"]],
        "open": [["rows.csv", "text/csv", "1,2"]],
        "memory": [["upload", binary, "m"]],
        "named": [["a.png", "image/png", "p"]],
        "typed": [["a.png", "image/webp", "1,2"]],
        "untyped": [["a.png", binary, "p"]],
        "unknown": [["a.xyzzy", binary, "x"]],
        "array": [["a.npy", "application/x-npy", "n"]],
        "field": [[None, "application/json", "{}"]],
        "several": [["upload", binary, "1"], ["2.txt", "text/plain", "2"]],
        "quoted": [['a"b.txt', "text/plain", "q"]],
    }


def test_files_are_pairs_too_and_keep_their_order(uploads: TestClient) -> None:
    pairs = [("b", ("1.txt", b"1")), ("a", ("2.txt", b"2")), ("b", ("3.txt", b"3"))]
    found = uploads.invoke(files=pairs).json()
    assert list(found) == ["b", "a"]
    assert [name for name, *_ in found["b"]] == ["1.txt", "3.txt"]


FIELDS = {"a": "ü", "b": 1, "c": [1.5, True, None], "d": b"x&y"}
SENT = {"a": ["ü"], "b": ["1"], "c": ["1.5", "true", ""], "d": ["x&y"]}


@pytest.mark.parametrize(
    "options",
    [
        {"files": {}},
        {"files": {}, "content_type": "multipart/form-data"},
        {"content_type": "multipart/form-data"},
        {"content_type": "multipart/form-data; boundary=here"},
        {"content_type": URLENCODED},
        {"files": {}, "content_type": None},
    ],
)
def test_fields_are_texts(texts: TestClient, options: dict[str, Any]) -> None:
    assert texts.invoke(FIELDS, **options).json() == SENT


def test_fields_and_files_go_together(texts: TestClient) -> None:
    files = {"rows": ("rows.csv", b"1,2\n"), "meta": (None, "[5]", "application/json")}
    reply = texts.invoke({"size": 5}, files=files)
    assert reply.json() == {"size": ["5"], "rows": [[1, 2]], "meta": [5]}
    with texts.stream({"size": 5}, files=files) as stream:
        assert stream.read() == reply.body


def test_a_form_that_is_written_already_is_sent_as_it_is(texts: TestClient) -> None:
    assert texts.invoke("a=1", content_type=URLENCODED).json() == {"a": ["1"]}
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    reply = texts.invoke(body, content_type="multipart/form-data; boundary=x")
    assert reply.json() == {"a": ["1"]}


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        ([1], {"files": {"a": b""}}, TypeError, r"data is a dict of the fields of the form, not"),
        ({"a": {}}, {"files": {}}, TypeError, r"send JSON as files={'a': \(None, text, 'appl"),
        (None, {"files": {"a": 5}}, TypeError, r"the file 'a' cannot be sent: pass bytes, a path"),
        (None, {"files": {"a": ("b",)}}, TypeError, r"the file 'a' cannot be sent"),
        (None, {"files": {"a": ()}}, TypeError, r"the file 'a' cannot be sent"),
        (None, {"files": {"a": ("b", b"", "", {})}}, TypeError, r"the file 'a' cannot be sent"),
        (None, {"files": {"a": io.StringIO("text")}}, None, ""),
        (
            None,
            {"files": {}, "content_type": "text/csv"},
            ValueError,
            "files are sent as multipart",
        ),
        ({}, {"files": {}, "content_type": URLENCODED}, ValueError, "files are sent as multipart"),
    ],
)
def test_what_cannot_be_a_form_is_refused(
    uploads: TestClient, data: Any, options: Any, error: Any, words: str
) -> None:
    if error is None:
        assert uploads.invoke(data, **options).json() == {
            "a": [["upload", "application/octet-stream", "text"]]
        }
        return
    with pytest.raises(error, match=words):
        uploads.invoke(data, **options)
