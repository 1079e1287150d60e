"""`schema`, and the console of `dev`, of programs that take files."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._dev.facts import samples
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
import msgspec
from PIL.Image import Image
from sagemaker_inference import Upload, model_loader, predictor

@dataclass
class Form:
    size: int
    doc: Upload
    note: str = "a"
    boxes: list[int] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    image: Image | None = None

class Flat(msgspec.Struct, tag=True):
    plan: Upload

class Garage(msgspec.Struct, tag=True):
    photo: Upload

@model_loader
def load(): return 1

@predictor
def predict(data: Form): return str(data.paths[0].read_bytes())

@predictor("/upload")
def upload(data: Upload): return data.filename

@predictor("/paths")
def paths(data: list[Path]): return len(data)

@predictor("/named")
def named(data: dict[str, Upload]): return list(data)

@predictor("/tuple")
def tuple_of(data: tuple[Path, ...]): return len(data)

@predictor("/lists")
def lists(data: dict[str, list[Upload]]): return {name: len(files) for name, files in data.items()}

@predictor("/image")
def image(data: Image): return data.size

@predictor("/images")
def images(data: list[Image]): return len(data)

@predictor("/union")
def union(data: Flat | Garage): return 1

@predictor("/any")
def anything(data: Any): return 1

@dataclass
class Unknown:
    doc: Upload
    more: Any

@predictor("/unknown")
def unknown(data: Unknown): return 1
"""
BINARY = {
    "type": "string",
    "format": "binary",
    "contentMediaType": "application/octet-stream",
}
PNG = {**BINARY, "contentMediaType": "image/png"}
TEXT = {"type": "string", "contentEncoding": "base64"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def document(program, capsys) -> dict[str, Any]:
    assert main(["schema", str(program)]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    OpenAPIV31SpecValidator(document).validate()
    return document


def content(document: dict[str, Any], path: str = "/invocations") -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]
    return found


def test_files_are_binary_in_forms_and_base64_in_json(document):
    found = content(document)
    assert set(found) == {"application/json", "multipart/form-data"}
    form = found["multipart/form-data"]["schema"]["properties"]
    assert (form["doc"], form["image"]) == (BINARY, PNG)
    assert form["paths"] == {"type": "array", "items": BINARY}
    assert form["size"] == {"type": "integer"}
    known = document["components"]["schemas"]["Form"]["properties"]
    assert (known["doc"], known["paths"]["items"]) == (TEXT, TEXT)
    assert known["image"]["anyOf"][0]["contentMediaType"] == "image/png"
    assert found["application/json"]["example"]["doc"] == "text"


def test_a_file_is_of_any_type_or_the_part_of_a_form(document):
    one = {
        "type": "object", "additionalProperties": BINARY, "minProperties": 1, "maxProperties": 1,
    }  # fmt: skip
    assert content(document, "/upload") == {"multipart/form-data": {"schema": one}, "*/*": {}}
    several = {"type": "object", "additionalProperties": BINARY}
    assert content(document, "/paths") == {"multipart/form-data": {"schema": several}, "*/*": {}}
    assert content(document, "/tuple") == content(document, "/paths")
    assert content(document, "/named")["multipart/form-data"] == {"schema": several}
    lists = {**several, "additionalProperties": {"type": "array", "items": BINARY}}
    assert content(document, "/lists")["multipart/form-data"] == {"schema": lists}


def test_images_are_of_their_types_and_in_forms_and_json(document):
    types = {"application/json", "application/x-image", "multipart/form-data"}
    assert set(content(document, "/images")) == set(content(document, "/image")) == types
    form = content(document, "/images")["multipart/form-data"]["schema"]
    assert form["additionalProperties"] == PNG
    [text] = content(document, "/images")["application/json"]["example"]
    assert base64.b64decode(text).startswith(b"\x89PNG")


def test_the_samples_of_forms_are_answered(program):
    found = {
        one["path"]: one for one in samples(str(program)) if "multipart" in one["content_type"]
    }
    assert set(found) >= {"/invocations", "/upload", "/paths", "/named", "/image", "/images"}
    with TestClient(program) as client:
        replies = {
            path: client.invoke(base64.b64decode(one["body"]), one["content_type"], path=path)
            for path, one in found.items()
            if one["body"] is not None
        }
    assert {path: reply.json() for path, reply in replies.items()} == {
        "/invocations": "b'text'", "/upload": "file.bin", "/paths": 1, "/named": ["file"],
        "/tuple": 1, "/lists": {"file": 1}, "/image": [1, 1], "/images": 1,
    }  # fmt: skip
    assert found["/unknown"]["content_type"] == "multipart/form-data"
    assert found["/unknown"]["body"] is None
