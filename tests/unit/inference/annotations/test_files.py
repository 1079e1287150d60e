"""Annotations for files: uploads, paths and images, alone, in lists and as fields."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from PIL import Image
from support.forms import TYPE, file, form, part

from sagemaker_inference import Registry, Upload
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._inference.annotations.files import (
    FileConverter,
    file_class_of,
    names_of_files,
)
from sagemaker_inference.testing import TestClient

FILES = form(
    file("a", b"one", "a.txt", "text/plain"),
    file("b", b"two", "../../b.tar.gz", "application/gzip"),
    part("a", b"three"),
)
ONE = form(file("a", b"one", "a.txt", "text/plain"))


def png(color: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 2), color).save(data, "png")
    return data.getvalue()


def shown(value: Any) -> Any:  # noqa: PLR0911 - one for each kind
    if isinstance(value, (list, tuple, set, frozenset)):
        return (
            sorted(map(shown, value))
            if isinstance(value, (set, frozenset))
            else [*map(shown, value)]
        )
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    if isinstance(value, Path):
        return f"{value.name}: {value.read_bytes().decode()}"
    if isinstance(value, Upload):
        return f"{value.filename}, {value.content_type}: {value.read().decode()}"
    if isinstance(value, Image.Image):
        return f"{value.mode} {value.size[0]}x{value.size[1]}"
    if attrs.has(type(value)):
        return shown(attrs.asdict(value, recurse=False))
    if isinstance(value, msgspec.Struct):
        return shown(msgspec.structs.asdict(value))
    return shown(vars(value)) if hasattr(value, "__dict__") else value


def asked(hint: Any, body: bytes, content_type: str = TYPE, **options: Any) -> tuple[int, Any]:
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return shown(data)

    predict.__annotations__ = {"data": hint}
    registry.predictor(predict)
    with TestClient(registry) as client:
        reply = client.invoke(body, content_type=content_type, accept="application/json", **options)
    content = reply.json()
    return reply.status_code, content["error"]["message"] if reply.status_code > 200 else content


@pytest.mark.parametrize("content_type", ["application/pdf", "application/json", "x/y", ""])
def test_a_body_of_any_type_is_a_file(content_type):
    ending = {"application/pdf": ".pdf", "application/json": ".json"}.get(content_type, "")
    assert asked(Upload, b"abc", content_type) == (200, f"None, {content_type}: abc")
    assert asked(list[Upload], b"abc", content_type) == (200, [f"None, {content_type}: abc"])
    assert asked(Path, b"abc", content_type) == (200, f"upload1{ending}: abc")
    assert asked(list[Path], b"", content_type) == (200, [f"upload1{ending}: "])


def test_the_name_of_a_body_is_in_a_header():
    headers = {"Content-Disposition": "attachment; filename*=UTF-8''x%2Fna%C3%AFve.txt"}
    assert asked(Upload, b"abc", "", headers=headers) == (200, "naïve.txt, : abc")
    assert asked(Path, b"abc", "image/png", headers=headers) == (200, "upload1.txt: abc")


@pytest.mark.parametrize("sent", ["ï.txt", "ï.txt".encode().decode("iso-8859-1")])
def test_the_name_of_a_body_is_in_utf_8_or_iso_8859_1(sent):
    headers = {"Content-Disposition": f'attachment; filename="{sent}"'}
    assert asked(Upload, b"abc", "", headers=headers) == (200, "ï.txt, : abc")


def test_a_form_with_one_file_is_that_file():
    for hint in (Upload, Upload | None, Annotated[Upload, "a document"]):
        assert asked(hint, ONE) == (200, "a.txt, text/plain: one")
    assert asked(Path, ONE) == (200, "upload1.txt: one")
    assert asked(Upload, FILES) == (422, "Expected one file, but there are 3.")


def test_a_list_has_all_parts_in_their_order():
    texts = ["a.txt, text/plain: one", "b.tar.gz, application/gzip: two", "None, : three"]
    assert asked(list[Upload], FILES) == (200, texts)
    paths = ["upload1.txt: one", "upload2.tar.gz: two", "upload3: three"]
    assert asked(list[Path], FILES) == (200, paths)
    assert asked(dict[str, Upload], ONE) == (200, {"a": texts[0]})
    assert asked(dict[str, Upload], FILES)[0] == 422


@pytest.mark.parametrize(
    ("of", "made"),
    [
        (lambda kind: Sequence[kind], list),
        (lambda kind: Iterable[kind], list),
        (lambda kind: tuple[kind, ...], tuple),
        (lambda kind: set[kind], set),
        (lambda kind: frozenset[kind], frozenset),
    ],
)
def test_files_come_in_any_kind_of_list(of, made):
    texts = ["a.txt, text/plain: one", "b.tar.gz, application/gzip: two", "None, : three"]
    is_set = made in (set, frozenset)
    assert asked(of(Upload), FILES) == (200, sorted(texts) if is_set else texts)
    assert asked(of(Upload), b"abc", "x/y") == (200, ["None, x/y: abc"])
    assert asked(of(Path), ONE) == (200, ["upload1.txt: one"])
    assert asked(Annotated[of(Upload), "several"] | None, ONE) == (200, texts[:1])
    fields = dataclasses.make_dataclass("Fields", [("a", of(Upload))])
    assert asked(fields, ONE) == (200, {"a": texts[:1]})
    assert type(FileConverter(of(Upload))(b"", "", decode=bytes)) is made
    if is_set:
        with pytest.raises(RegistrationError, match="images cannot be in a set: annotate it with"):
            FileConverter(of(Image.Image))
    else:
        assert asked(of(Image.Image), png(), "image/png") == (200, ["RGB 4x2"])


@pytest.mark.parametrize("of", [dict, Mapping])
def test_a_dict_of_lists_has_all_parts_of_each_name(of):
    expected = {
        "a": ["a.txt, text/plain: one", "None, : three"],
        "b": ["b.tar.gz, application/gzip: two"],
    }
    assert asked(of[str, list[Upload]], FILES) == (200, expected)
    assert asked(of[str, tuple[Path, ...]], ONE) == (200, {"a": ["upload1.txt: one"]})
    assert asked(of[str, Upload], ONE) == (200, {"a": "a.txt, text/plain: one"})
    assert asked(of[str, list[str]], form(part("a", b"1"))) == (200, {"a": ["1"]})


def test_lists_of_a_fixed_length_and_of_anything_are_none_of_files():
    for hint in (tuple[Upload, Upload], typing.List, typing.Dict, list, dict[str, Any]):  # noqa: UP006
        assert file_class_of(hint) is None
        assert names_of_files(hint) == {}
    assert asked(tuple[Upload, Upload], b'["YQ==", "YQ=="]', "application/json")[0] == 200


def test_a_field_without_a_chosen_file_is_not_there():
    nothing = form(file("a", b"", "", "application/octet-stream"))
    assert asked(list[Upload], nothing) == (200, [])
    assert asked(Upload | None, nothing) == (200, None)
    assert asked(Upload, nothing) == (422, "Expected one file, but there are 0.")
    empty = form(file("a", b"", "a.txt", "text/plain"))
    assert asked(Upload, empty) == (200, "a.txt, text/plain: ")


FIELDS: dict[str, tuple[Any, Any]] = {
    "size": (int, dataclasses.MISSING),
    "doc": (Upload, dataclasses.MISSING),
    "more": (list[Upload], []),
    "path": (Path | None, None),
    "paths": (list[Path], []),
    "image": (Image.Image | None, None),
    "images": (list[Image.Image], []),
}
NAMED = TypedDict("NAMED", {name: kind for name, (kind, _) in FIELDS.items()})


def optional(default: Any) -> Any:
    if default is dataclasses.MISSING:
        return {}
    return {"default_factory": list} if isinstance(default, list) else {"default": default}


DATA = dataclasses.make_dataclass(
    "DATA",
    [(name, kind, dataclasses.field(**optional(value))) for name, (kind, value) in FIELDS.items()],
)
STRUCT = msgspec.defstruct(
    "STRUCT",
    [
        (name, kind) if value is dataclasses.MISSING else (name, kind, value)
        for name, (kind, value) in FIELDS.items()
    ],
)
CLASS = attrs.make_class(
    "CLASS",
    {
        name: attrs.field(
            type=kind, default=attrs.NOTHING if value is dataclasses.MISSING else value
        )
        for name, (kind, value) in FIELDS.items()
    },
)
FORM = form(
    part("size", b"5"),
    file("doc", b"DOC", "d.pdf", "application/pdf"),
    file("more", b"m", "m"),
    file("path", b"p", "p.wav", "audio/wav"),
    file("paths", b"1", "1.X"),
    part("paths", b"2", content_type="image/webp"),
    file("image", png(), "i.png", "image/png"),
    file("images", png(), "i"),
)
WHOLE = {
    "size": 5,
    "doc": "d.pdf, application/pdf: DOC",
    "more": ["m, application/octet-stream: m"],
    "path": "upload1.wav: p",
    "paths": ["upload2.x: 1", "upload3.webp: 2"],
    "image": "RGB 4x2",
    "images": ["RGB 4x2"],
}


@pytest.mark.parametrize("hint", [DATA, STRUCT, CLASS, NAMED])
def test_fields_of_forms_are_files(hint):
    status, found = asked(hint, FORM)
    assert status == 200
    # msgspec goes through a TypedDict in an order of its own.
    paths = [found.pop("path"), *found.pop("paths")]
    assert [text.partition(".")[2] for text in paths] == ["wav: p", "x: 1", "webp: 2"]
    assert found == {name: value for name, value in WHOLE.items() if "path" not in name}


@pytest.mark.parametrize("hint", [DATA, STRUCT, CLASS])
def test_files_in_json_are_base64(hint):
    text = base64.b64encode(b"hello").decode()
    image = "data:image/png;base64," + base64.b64encode(png()).decode()
    body = {"size": 1, "doc": text, "path": text, "image": image}
    status, found = asked(hint, json.dumps(body).encode(), "application/json")
    assert (status, found["doc"], found["path"]) == (200, "None, : hello", "upload1: hello")
    assert (found["image"], found["images"]) == ("RGB 4x2", [])
    wrong = {"size": 1, "doc": "?", "path": "../../etc/passwd", "image": "aaaa", "more": [1]}
    message = (
        "doc: expected a file in base64; more.0: expected a file, got int; path: expected a file "
        "in base64; image: Not a JPEG, PNG or WebP image"
    )
    assert asked(hint, json.dumps(wrong).encode(), "application/json") == (422, message)


def test_wrong_parts_are_named_with_the_others():
    wrong = form(part("size", b"x"), file("image", b"no image", "a.png", "image/png"))
    message = "size: expected int, got str; doc: missing; image: Not a JPEG, PNG or WebP image"
    assert asked(DATA, wrong) == (422, message)


def test_renamed_fields_are_files_by_the_names_that_clients_know():
    renamed = msgspec.defstruct("Renamed", [("the_doc", Upload)], rename="camel")
    body = form(part("theDoc", b"1"))
    assert asked(renamed, body) == (200, {"the_doc": "None, : 1"})
    alias = pydantic.create_model(
        "Alias", doc=(list[Upload], pydantic.Field(validation_alias="theDoc"))
    )
    assert asked(alias, body) == (200, {"doc": ["None, : 1"]})
    choices = pydantic.AliasChoices("theDoc", pydantic.AliasPath("docs", 0), "doc")
    either = pydantic.create_model("Either", doc=(Upload, pydantic.Field(validation_alias=choices)))
    for name in ("theDoc", "doc"):
        body = form(file(name, b"1", "a.txt"))
        assert asked(either, body)[1] == {"doc": "a.txt, application/octet-stream: 1"}


class Model(pydantic.BaseModel, arbitrary_types_allowed=True):
    doc: Upload
    path: Path | None = None
    image: Image.Image | None = None
    images: list[Image.Image] = []


def test_pydantic_gets_uploads_and_images():
    images = [file("images", png(), "i.png"), file("images", png(), "j.png")]
    body = form(part("doc", b"1"), file("image", png(), "i.png"), *images)
    assert asked(Model, body) == (
        200,
        {"doc": "None, : 1", "path": None, "image": "RGB 4x2", "images": ["RGB 4x2"] * 2},
    )
    wrong = form(part("doc", b"1"), file("image", b"x", "i.png"))
    assert asked(Model, wrong) == (422, "image: Not a JPEG, PNG or WebP image")
    assert asked(Model, b'{"doc": "YQ=="}', "application/json")[1]["doc"] == "None, : a"
    assert asked(Model, b'{"doc": 1}', "application/json")[1] == "doc: expected a file, got int"
    assert asked(Model, b'{"doc": "YQ=="}\n', "application/jsonlines")[0] == 422


def test_a_path_of_pydantic_is_a_text_of_the_client(tmp_path):
    there = tmp_path / "there"
    there.write_text("here")
    body = form(part("doc", b"1"), part("path", str(there).encode()))
    assert asked(Model, body)[1]["path"] == "there: here"
    upload = form(part("doc", b"1"), file("path", b"\xff", "a.txt", "application/pdf"))
    assert asked(Model, upload)[0] == 422
    text = json.dumps(str(there)).encode()
    assert asked(pydantic.FilePath, text, "application/json") == (200, "there: here")


def test_several_images_come_in_several_ways():
    parts = form(file("a", png(), "a.png", "image/png"), file("b", png(), "b.png"))
    assert asked(list[Image.Image], parts) == (200, ["RGB 4x2"] * 2)
    assert asked(list[Image.Image], png(), "image/png") == (200, ["RGB 4x2"])
    text = base64.b64encode(png()).decode()
    for document in ([text, text], {"instances": [text, text]}):
        body = json.dumps(document).encode()
        assert asked(list[Image.Image], body, "application/json") == (200, ["RGB 4x2"] * 2)
    pixels = io.BytesIO()
    np.save(pixels, np.zeros((3, 2, 4, 3), np.uint8))
    body = pixels.getvalue()
    assert asked(list[Image.Image], body, "application/x-npy") == (200, ["RGB 4x2"] * 3)
    one = form(file("a", body, "a.npy", "application/x-npy"))
    assert asked(list[Image.Image], one)[1].startswith("a: Expected an image, but the body is")
    assert asked(Image.Image, body, "application/x-npy")[0] == 422


def test_one_image_comes_in_several_ways():
    text = json.dumps(base64.b64encode(png()).decode()).encode()
    assert asked(Image.Image, form(file("a", png(), "a.png"))) == (200, "RGB 4x2")
    assert asked(Image.Image, text, "application/json") == (200, "RGB 4x2")
    assert asked(Image.Image, b'["a"]', "application/json")[1] == "0: expected a file in base64"
    assert asked(Image.Image | None, b"null", "application/json") == (200, None)
    for body in (b"null", b"[]", b"1", b'{"a": 1}', b'["a", 1]'):
        assert asked(Image.Image, body, "application/json")[0] == 422
    assert asked(Image.Image, b"text", "text/plain")[0] == 422


@dataclasses.dataclass
class Picture:
    image: Image.Image


def test_npz_has_images_as_arrays():
    packed = io.BytesIO()
    np.savez(packed, image=np.zeros((2, 4), np.uint8))
    assert asked(Picture, packed.getvalue(), "application/x-npz") == (200, {"image": "L 4x2"})


class Flat(msgspec.Struct, tag="flat"):
    plan: Upload


class Garage(msgspec.Struct, tag="garage"):
    photo: Upload


def test_the_files_of_a_union_are_those_of_its_classes():
    body = form(part("type", b"garage"), file("photo", b"1", "a.txt"))
    expected = {"photo": "a.txt, application/octet-stream: 1"}
    assert asked(Flat | Garage, body) == (200, expected)


class Sized(TypedDict):
    doc: Upload
    size: int


def test_parameters_are_no_files():
    assert asked(list[Upload], ONE, path="/invocations?a=1") == (200, ["a.txt, text/plain: one"])
    assert asked(Upload, b"", "text/plain", path="/invocations?a=1") == (200, "None, text/plain: ")
    body = form(part("doc", b"1"))
    expected = {"doc": "None, : 1", "size": 5}
    assert asked(Sized, body, path="/invocations?size=5") == (200, expected)
