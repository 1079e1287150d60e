"""Files of requests on disk: there while a request is answered, and then gone."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.forms import TYPE, file, form, part

from sagemaker_inference import Request, Upload, assemble
from sagemaker_inference._http.messages import Headers
from sagemaker_inference._inference import request_files
from sagemaker_inference._inference.annotations import converter_for
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._os import spool

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(folder: Path) -> list[str]:
    """The names of files below, but for the lock of the spool."""
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


@pytest.fixture
def handler_of(registry):
    handlers = []

    def make(predict: Any, hint: Any = Path, **options: Any) -> InferenceHandler:
        predict.__annotations__ = {"data": hint}
        registry.model_loader(lambda: None)
        registry.predictor(**options)(predict)
        handler = assemble(registry)
        handler.load(".")
        handlers.append(handler)
        return handler

    yield make
    for handler in handlers:
        handler.close()


def request(body: bytes = b"abc", content_type: str = "audio/wav") -> Request:
    return Request("id", Headers([("Content-Type", content_type)]), body)


def answer(handler: InferenceHandler, *requests: Request) -> list[Response]:
    return run_without_loop(handler.answer(requests or [request()]))


def test_a_file_is_gone_when_its_request_is_answered(handler_of, folder):
    seen = []

    def predict(data, model):
        seen.append((data.name, data.read_bytes(), left(folder)))
        data.with_name("made.txt").touch()
        return 1

    handler = handler_of(predict)
    assert answer(handler)[0].status == 200
    assert seen == [("upload1.wav", b"abc", ["upload1.wav"])]
    assert left(folder) == []
    handler.close()
    assert list(folder.iterdir()) == []


def test_a_file_is_gone_when_its_request_fails(handler_of, folder):
    def predict(data, model):
        assert left(folder)
        raise SystemExit

    handler = handler_of(predict)
    assert answer(handler)[0].status == 500
    assert left(folder) == []


def test_a_file_is_gone_when_another_part_is_refused(handler_of, folder):
    handler = handler_of(lambda data, model: 1)
    parts = [file("a", b"1", "a.txt"), file("b", b"2", "b.txt")]
    assert answer(handler, request(form(*parts), TYPE))[0].status == 422
    assert left(folder) == []


@dataclass
class Pages:
    pages: list[Path]
    n: int = 0


@pytest.fixture
def writes(monkeypatch):
    paths = []

    def count(path, data):
        paths.append(path)
        write(path, data)

    write = spool.write
    monkeypatch.setattr(spool, "write", count)
    return paths


@pytest.mark.parametrize("n", [b"1", b"x"])
def test_a_part_is_written_once_also_beside_a_wrong_field(handler_of, folder, writes, n):
    # A step for each of these files is more than the budget has, if they are written thrice.
    files = [file("pages", b"%d" % number, "a.txt") for number in range(2000)]
    handler = handler_of(lambda data, model: len(set(data.pages)) + data.n, Pages)
    (response,) = answer(handler, request(form(*files, part("n", n)), TYPE))
    assert len(writes) == 2000
    expected = b"2001" if n == b"1" else b"n: expected int, got str"
    assert (response.status, expected in bytes(response.body)) == (200 if n == b"1" else 422, True)
    assert left(folder) == []


def test_a_text_of_json_is_written_once_also_beside_a_wrong_field(handler_of, writes):
    handler = handler_of(lambda data, model: len(set(data.pages)), Pages)
    body = b'{"pages": ["aGk=", "aGk=", "aGkh"], "n": %s}'
    wrong, right = (request(body % n, "application/json") for n in (b'"x"', b"1"))
    (response,) = answer(handler, wrong)
    assert (response.status, b"n: expected int" in bytes(response.body)) == (422, True)
    assert len(writes) == 3
    # A program may write to them.
    assert bytes(answer(handler, right)[0].body) == b"3"
    for pages in (b'["!"]', b"[{}]"):
        of_none = request(b'{"pages": %s}' % pages, "application/json")
        assert answer(handler, of_none)[0].status == 422


def test_folders_are_made_again_when_they_were_removed(handler_of, folder):
    handler = handler_of(lambda data, model: data.read_bytes().decode())
    assert answer(handler)[0].status == 200
    for path in folder.iterdir():
        shutil.rmtree(path)
    assert bytes(answer(handler)[0].body) == b'"abc"'
    handler.close()
    assert list(folder.iterdir()) == []


def test_a_file_is_there_until_a_stream_ends(handler_of, folder):
    def predict(data, model):
        for line in data.read_bytes().split():
            assert left(folder)
            yield line.decode()

    handler = handler_of(predict)
    (response,) = answer(handler, request(b"one two three"))
    assert left(folder) == ["upload1.wav"]
    assert b"three" in b"".join(response.body)
    assert left(folder) == []
    (response,) = answer(handler)
    response.body.close()
    assert left(folder) == []


def test_a_file_is_there_while_a_batch_is_predicted(handler_of, folder):
    def predict(data, model):
        assert len(left(folder)) == len(data)
        return [path.read_bytes().decode() for path in data]

    handler = handler_of(predict, list[Path], max_batch_size=4)
    responses = answer(handler, request(b"1"), request(b"2"))
    assert [bytes(response.body) for response in responses] == [b'"1"', b'"2"']
    assert left(folder) == []


def test_a_file_is_gone_when_its_request_is_cancelled(handler_of, folder):
    async def predict(data, model):
        assert left(folder)
        await asyncio.sleep(60)

    handler = handler_of(predict)

    async def give_up():
        task = asyncio.ensure_future(handler.answer([request()]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    handler.run(give_up())
    assert left(folder) == []


def test_requests_in_threads_have_files_of_their_own(handler_of, folder):
    barrier = threading.Barrier(4)

    def predict(data, model):
        barrier.wait(10)
        return data.read_bytes().decode()

    handler = handler_of(predict)
    found = {}

    def ask(number):
        found[number] = bytes(answer(handler, request(str(number).encode()))[0].body)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f'"{number}"'.encode() for number in range(4)}
    assert left(folder) == []


def test_decoders_and_transformers_get_files(registry, folder):
    registry.model_loader(lambda: None)

    @registry.decoder("audio/wav")
    def decode(body: Path):
        return body.read_bytes().decode() + body.suffix

    @registry.predictor
    def predict(data, model):
        return data

    @registry.transformer("/transform")
    def transform(model, body: Upload, content_type, accept):
        assert body.filename is None
        return f"{body.content_type} {body.size}"

    handler = assemble(registry)
    handler.load(".")
    assert bytes(answer(handler)[0].body) == b'"abc.wav"'
    assert left(folder) == []
    whole = request(form(file("a", b"1", "a.txt")), TYPE)
    whole.path = "/transform"
    assert bytes(answer(handler, whole)[0].body).startswith(TYPE.encode())
    handler.close()
    assert list(folder.iterdir()) == []


def test_an_encoder_may_read_a_file_while_its_iterator_is_read(registry, folder):
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data: Path, model):
        return data

    @registry.encoder("text/x")
    def encode(path, accept):
        return iter(path.read_bytes().split())

    handler = assemble(registry)
    handler.load(".")
    (response,) = run_without_loop(whole_answers(handler, [request(b"a b")]))
    assert left(folder) == ["upload1.wav"]
    assert b"".join(response.body) == b"ab"
    assert left(folder) == []
    handler.close()


def test_a_disk_that_is_full_is_507(handler_of, folder, monkeypatch, caplog):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "write", full)
    handler = handler_of(lambda data, model: 1)
    assert answer(handler)[0].status == 507
    assert "its files cannot be written: [Errno 28] No space left on device" in caplog.text
    assert "TMPDIR" in caplog.text


def test_there_may_be_as_many_files_as_a_request_may_cost(handler_of, folder, monkeypatch):
    handler = handler_of(lambda data, model: len(data), list[Path])
    body = form(*[file("a", b"1", "a.txt")] * 1000)
    assert bytes(answer(handler, request(body, TYPE))[0].body) == b"1000"
    monkeypatch.setattr(request_files, "_STEPS_A_FILE", 2000)
    assert answer(handler, request(body, TYPE))[0].status == 413
    assert left(folder) == []


@pytest.mark.parametrize(
    ("filename", "content_type", "ending"),
    [
        ("a.PDF", "image/png", ".pdf"),
        ("a.tar.gz", "", ".tar.gz"),
        ("a.b.c", "", ".c"),
        ("a.c d", "image/png", ".png"),
        ("a.é", "audio/x-wav; rate=1", ".wav"),
        (None, "text/csv; charset=utf-8", ".csv"),
        ("a", "application/octet-stream", ""),
        (None, "x/unknown", ""),
        (None, "", ""),
        (None, "image/../../etc", ""),
    ],
)
def test_a_file_has_the_ending_of_its_name_or_its_type(folder, filename, content_type, ending):
    files = request_files.RequestFiles(request(), spool.Spool())
    path = files.path_of(Upload(b"abc", filename, content_type))
    assert path.name == f"upload1{ending}"
    assert path.is_relative_to(folder)
    files.close()
    files.close()
    assert left(folder) == []


def test_a_path_outside_of_a_request_is_refused():
    request_files.end()
    convert = converter_for(Path)
    with pytest.raises(LookupError, match="while a request is answered"):
        convert(b"abc", "text/plain", decode=bytes)
    assert converter_for(Upload)(b"abc", "text/plain", decode=bytes).filename is None
