"""`Upload`: a file that a client has sent."""

from __future__ import annotations

import base64
import io
import zipfile

import pydantic
import pytest

from sagemaker_inference import Upload, _budget
from sagemaker_inference._http.messages import Part
from sagemaker_inference.errors import PayloadTooLargeError


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_upload_is_read_as_bytes_and_as_a_stream(kind):
    upload = Upload(kind(b"one\ntwo\n"), "a.txt", "text/plain")
    assert (upload.size, upload.filename, upload.content_type) == (8, "a.txt", "text/plain")
    assert upload.file.readline() == b"one\n"
    assert upload.file.read() == b"two\n"
    assert upload.file is upload.file
    assert upload.read() == upload.read() == b"one\ntwo\n"
    assert repr(upload) == "Upload('a.txt', 'text/plain', 8 bytes)"


def test_its_stream_is_read_only_and_seekable():
    stream = Upload(b"abc").file
    assert (stream.seekable(), stream.readable(), stream.writable()) == (True, True, False)
    for change in (
        lambda: stream.write(b"x"),
        lambda: stream.writelines([b"x"]),
        lambda: stream.truncate(0),
    ):
        with pytest.raises(io.UnsupportedOperation, match="cannot be written"):
            change()
    assert stream.seek(-1, io.SEEK_END) == 2
    assert stream.read() == b"c"


def test_libraries_read_its_stream():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "hello")
    with zipfile.ZipFile(Upload(packed.getvalue()).file) as archive:
        assert archive.read("a.txt") == b"hello"


def test_base64_is_an_upload_of_json():
    text = base64.b64encode(b"\x00\xff").decode()
    assert Upload.from_text(text).read() == b"\x00\xff"
    url = Upload.from_text(f"data:image/png;name=a.png;base64,{text}")
    assert (url.content_type, url.read()) == ("image/png", b"\x00\xff")
    assert Upload.from_text("").size == 0
    for wrong in ("?", "abc", "data:text/plain,abc", "é"):
        with pytest.raises(ValueError, match="expected a file in base64"):
            Upload.from_text(wrong)


def test_base64_counts_as_memory_of_its_request():
    budget = _budget.begin(1 << 20)
    try:
        text = "AAAA" * (1 << 18)
        Upload.from_text(text)
        assert budget.taken == len(text)
        budget.taken = 100 << 20
        with pytest.raises(PayloadTooLargeError):
            Upload.from_text(text)
    finally:
        _budget.end()


def test_a_part_without_a_usable_name_has_none():
    part = Part("a", "text/plain", b"1")
    assert Upload.from_part(part).filename is None
    part.filename = ""
    assert Upload.from_part(part).filename is None
    part.filename = "a.txt"
    assert repr(Upload.from_part(part)) == "Upload('a.txt', 'text/plain', 1 bytes)"
    name, content_type, value = part
    assert (name, content_type, value) == ("a", "text/plain", b"1")


def test_pydantic_knows_it():
    model = pydantic.create_model("Model", file=(Upload, ...))
    upload = Upload(b"a")
    assert model(file=upload).file is upload
    assert model.model_validate_json('{"file": "YQ=="}').file.read() == b"a"
    file = model.model_json_schema()["properties"]["file"]
    assert (file["type"], file["contentEncoding"]) == ("string", "base64")
    with pytest.raises(pydantic.ValidationError, match="expected a file, got int"):
        model(file=1)
