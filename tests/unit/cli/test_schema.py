"""`schema`: OpenAPI, JSON Schema and samples, by type hints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from sagemaker_inference.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON, FORM = "application/json", "multipart/form-data"
HEAD = """
from __future__ import annotations
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any
import msgspec
import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, Field, computed_field, field_validator
from scipy import sparse
from sagemaker_inference import decoder, model_loader, predictor, transformer
print("importing")

@model_loader
def load(): return 1
"""


@pytest.fixture
def schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(program: str, *words: str) -> dict[str, Any]:
        path = tmp_path / "flats" / "inference.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + program)
        assert main(["schema", str(path), *words]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        if "openapi" in document:
            OpenAPIV31SpecValidator(document).validate()
        return document

    return run


def post(document: dict[str, Any], path: str = "/invocations") -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["post"]
    return found


def requests(document: dict[str, Any], path: str = "/invocations") -> dict[str, Any]:
    found: dict[str, Any] = post(document, path)["requestBody"]["content"]
    return found


def response(document: dict[str, Any], path: str = "/invocations") -> dict[str, Any]:
    found: dict[str, Any] = post(document, path)["responses"]["200"]["content"]
    return found


FLATS = """
@dataclass
class Flat:
    size: float
    rooms: int
    town: str = "Bern"

@predictor
def predict(data: list[Flat], model) -> list[float]:
    "Predict prices."
    return [1.0]
"""


def test_the_document_has_the_paths_of_a_program(schema):
    document = schema('"""Flats."""' + FLATS)
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "flats", "version": "1"}
    assert list(document["paths"]) == ["/ping", "/invocations"]
    operation = post(document)
    assert (operation["operationId"], operation["description"]) == ("predict", "Predict prices.")
    failed = document["components"]["responses"]["Error"]["content"]["application/json"]
    assert failed["schema"] == {"$ref": "#/components/schemas/InferenceError"}
    assert {"InferenceError", "Flat"} == {*document["components"]["schemas"]}


def test_documents_are_validated(schema):
    document = schema(FLATS)
    del document["info"]["title"]
    with pytest.raises(OpenAPIValidationError, match="'title' is a required property"):
        OpenAPIV31SpecValidator(document).validate()


def test_a_request_has_the_schema_of_its_hint_and_a_sample(schema):
    content = requests(schema(FLATS))
    row = {"size": 1.0, "rooms": 1, "town": "Bern"}
    assert content["application/json"] == {
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Flat"}},
        "example": [row],
    }
    assert json.loads(content["application/jsonlines"]["example"]) == row
    # Nothing that would be refused.
    assert not {"text/csv", "application/x-image", "multipart/form-data"} & {*content}
    item = response(schema(FLATS))["application/json"]["schema"]["items"]
    assert item == {"type": "number"}


def test_the_documentation_of_a_program_is_in_it(tmp_path, capsys):
    path = tmp_path / "inference.py"
    path.write_text('"""Prices of flats."""\n' + HEAD + FLATS)
    assert main(["schema", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["info"]["description"] == "Prices of flats."


def test_json_schema_has_what_a_request_needs_and_no_more(schema):
    program = FLATS.replace("list[float]", "Price") + "class Price(BaseModel): price: float"
    document = schema(program, "--format", "json-schema")
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["items"] == {"$ref": "#/$defs/Flat"}
    assert {*document["$defs"]} == {"Flat"}
    assert document["examples"] == [[{"size": 1.0, "rooms": 1, "town": "Bern"}]]
    nothing = schema("@predictor\ndef predict(data): ...", "--format", "json-schema")
    assert {*nothing} == {"$schema", "title"}


def test_a_model_of_pydantic_is_read_and_written_in_its_way(schema):
    document = schema(
        """
class Item(BaseModel):
    a: int = Field(ge=3)
    @computed_field
    @property
    def b(self) -> int: return 1

@predictor
def predict(data: Item, model) -> Item: return data
"""
    )
    content = requests(document)
    assert content["application/json"]["example"] == {"a": 3}
    assert content["multipart/form-data"]["schema"] == content["application/json"]["schema"]
    known = document["components"]["schemas"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Item"}
    assert response(document)["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Item2"
    }
    assert {*known["Item"]["properties"]} == {"a"}
    assert {*known["Item2"]["properties"]} == {"a", "b"}


def test_what_a_validator_refuses_is_not_a_sample(schema):
    program = """
class Item(BaseModel):
    name: str = Field(pattern="^x[0-9]+y$")
    @field_validator("name")
    @classmethod
    def check(cls, name): raise ValueError
@predictor
def predict(data: {}, model): return 1
"""
    assert set(requests(schema(program.format("Item")))) == {JSON, FORM}
    found = requests(schema(program.format("list[Item]")))
    assert "example" not in found[JSON]
    assert {"application/jsonlines", "text/csv"} < found.keys()


@pytest.mark.parametrize("base", ["@dataclass\nclass Stay:", "class Stay(BaseModel):"])
def test_fields_of_common_types_have_formats_and_samples(schema, base):
    program = f"""
import datetime as dt, decimal, uuid
{base}
    seen: dt.datetime
    opens: dt.time | None
    takes: dt.timedelta
    day: dt.date
    price: decimal.Decimal
    key: uuid.UUID
@predictor
def predict(data: Stay, model): return 1
"""
    document = schema(program)
    assert requests(document)[JSON]["example"]["seen"] == "2026-01-31T12:00:00Z"
    fields = document["components"]["schemas"]["Stay"]["properties"]
    assert (fields["seen"]["format"], fields["opens"]["anyOf"][0]["format"]) == (
        "date-time",
        "time",
    )


def test_dates_have_formats_wherever_they_are(schema):
    program = """
import datetime as dt
class Row(msgspec.Struct, array_like=True):
    seen: dt.datetime
class Near(msgspec.Struct, tag=True):
    at: dt.time
class Far(msgspec.Struct, tag=True):
    at: dt.datetime
    local: Annotated[dt.datetime, msgspec.Meta(tz=False)] | None = None
    rows: list[Row] = []
    pair: tuple[int, dt.datetime] | None = None
    by_name: dict[str, dt.time] = {}
    again: list[Row] = []
@predictor
def predict(data: Near | Far, model): return 1
"""
    parts = schema(program)["components"]["schemas"]
    far = parts["Far"]["properties"]
    assert parts["Near"]["properties"]["at"]["format"] == "time"
    assert parts["Row"]["prefixItems"][0]["format"] == far["at"]["format"] == "date-time"
    assert far["by_name"]["additionalProperties"]["format"] == "time"
    assert "format" not in far["local"]["anyOf"][0]


@pytest.mark.parametrize(
    ("hint", "name", "rows"),
    [
        ("np.ndarray", "Array", [[1.0, 2.0], [3.0, 4.0]]),
        ("np.ndarray | None", "Array", [[1.0, 2.0], [3.0, 4.0]]),
        ("pd.DataFrame", "Table", [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]),
        ("sparse.csr_matrix", "Matrix", [[1.0, 0.0], [0.0, 2.0]]),
    ],
)
def test_arrays_and_tables_have_schemas_and_samples_of_each_format(schema, hint, name, rows):
    document = schema(f"@predictor\ndef predict(data: {hint}, model) -> {hint}: return data")
    content = requests(document)
    assert content["application/json"]["example"] == rows
    assert name in document["components"]["schemas"]
    assert f"schemas/{name}" in json.dumps(content["application/json"]["schema"])
    assert f"schemas/{name}" in json.dumps(response(document)["application/json"]["schema"])
    assert content["text/csv"]["schema"] == {"type": "string"}
    assert "1.0" in content["text/csv"]["example"]
    assert ("application/x-image" in content) is (name == "Array")


def test_fields_may_be_arrays_beside_classes_of_the_same_name(schema):
    document = schema(
        """
@dataclass
class Array:
    values: np.ndarray
    other: Any
@predictor
def predict(data: Array, model): return 1
@predictor("/more")
def more(data: np.ndarray): return 1
"""
    )
    known = document["components"]["schemas"]
    used = {
        requests(document, path)["application/json"]["schema"]["$ref"]
        for path in ("/invocations", "/more")
    }
    assert used == {"#/components/schemas/Array", "#/components/schemas/Array2"}
    [struct] = [part for part in known.values() if "values" in part.get("properties", {})]
    assert struct["properties"]["values"]["$ref"] in used


@pytest.mark.parametrize("hint", ["bytes", "str", "memoryview"])
def test_a_raw_body_is_of_any_type(schema, hint):
    content = requests(schema(f"@predictor\ndef predict(data: {hint}): return data"))
    assert content == {"*/*": {"schema": {"type": "string"}} if hint == "str" else {}}


def test_without_a_hint_all_formats_are_named_and_files_are_the_samples(schema, tmp_path):
    program = """
@decoder("text/x-points")
def read(body): return 1
@predictor
def predict(data): return 1
"""
    (tmp_path / "flats").mkdir()
    for name, text in {"json": "[5]", "csv": "1,2\n", "points": "1 2"}.items():
        (tmp_path / "flats" / f"request.{name}").write_text(text)
    content = requests(schema(program))
    assert content["application/json"] == {"example": [5]}
    assert content["text/csv"]["example"] == "1,2\n"
    assert content["text/x-points"]["example"] == "1 2"
    assert content["application/x-npy"] == {}
    assert "multipart/form-data" not in content


def test_a_file_that_is_not_json_is_named(tmp_path, capsys):
    (tmp_path / "inference.py").write_text(HEAD + FLATS)
    (tmp_path / "request.json").write_text("[")
    assert main(["schema", str(tmp_path / "inference.py")]) == 1
    assert "request.json is not JSON: " in capsys.readouterr().err


def test_a_stream_has_the_schema_of_its_items(schema):
    program = """
@dataclass
class Word:
    text: str
@predictor
def predict(data: dict) -> Iterator[Word]: yield data
@predictor("/any")
def more(data: dict): yield data
"""
    document = schema(program)
    assert requests(document)["application/json"]["schema"] == {"type": "object"}
    content = response(document)
    assert list(content) == ["application/jsonlines", "text/event-stream", "application/json"]
    assert content["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Word"},
    }
    assert response(document, "/any")["application/json"] == {}


def test_a_request_is_one_item_of_a_batch(schema):
    program = """
@predictor(max_batch_size=4)
def predict(data: list[np.ndarray], model) -> list[dict[str, float]]: return data
"""
    document = schema(program)
    assert requests(document)["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Array"
    }
    assert response(document)["application/json"]["schema"]["type"] == "object"


def test_a_transformer_writes_what_it_wants(schema):
    program = "@transformer\ndef transform(model, body{}): return body\n"
    raw = schema(program.format(""))
    assert requests(raw) == response(raw) == {"*/*": {}}
    content = requests(schema(program.format(": np.ndarray")))
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Array"}


def test_functions_of_one_name_and_objects_are_operations(schema):
    program = """
class Model:
    "Not of the operation."
    def __call__(self, data): return data
predictor(Model())
def same(data: Later): return data
predictor("/a")(same)
def same(data: int) -> Later: return data
predictor("/b")(same)
"""
    document = schema(program.replace("data: Later", "data: Any"))
    assert "description" not in post(document)
    assert post(document, "/a")["operationId"] == "same"
    assert "operationId" not in post(document, "/b")
    # The hint of a response that names nothing says nothing.
    assert response(document, "/b")["application/json"] == {}


def test_a_hint_that_no_library_knows_says_nothing(schema):
    program = "@predictor\ndef predict(data) -> Annotated[object, 1]: ...\n"
    assert response(schema(program))["application/json"] == {}
    assert response(schema("@predictor\ndef predict(data) -> 5: ...\n"))["application/json"] == {}


def test_options_choose_a_file_and_a_path(schema, tmp_path, capsys):
    schema(FLATS)
    program, output = str(tmp_path / "flats" / "inference.py"), tmp_path / "openapi.json"
    assert main(["schema", program, "--output", str(output)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(output.read_text())["info"]["title"] == "flats"
    assert main(["schema", program, "--format", "json-schema", "--path", "/else"]) == 2
    assert "the program answers /invocations, and not /else" in capsys.readouterr().err
    assert main(["schema", str(tmp_path / "none.py")]) == 2


def test_samples_are_files_and_none_is_overwritten(schema, tmp_path, capsys):
    schema("@predictor\ndef predict(data: np.ndarray): ...")
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "request.json").write_text("mine")
    program = str(tmp_path / "flats" / "inference.py")
    assert main(["schema", program, "--samples", str(folder)]) == 0
    assert "request.csv: 16 bytes\n" in capsys.readouterr().out
    assert (folder / "request.json").read_text() == "mine"
    assert (folder / "request.csv").read_text() == "1.0,2.0\n3.0,4.0\n"
    assert (folder / "request.npy").read_bytes().startswith(b"\x93NUMPY")


def test_what_need_not_end_is_not_iterated_over(schema):
    program = """
import ipaddress
class Endless:
    def __init__(self, value): pass
    def __iter__(self): raise SystemExit("it has no end")
class Item(BaseModel):
    number: int
    @field_validator("number")
    @classmethod
    def check(cls, number): return Endless(number)
@predictor
def predict(data: Annotated[ipaddress.IPv6Network, AfterValidator(lambda v: v)], model): return 1
@predictor("/v1/numbers")
def predict_number(data: Annotated[int, AfterValidator(Endless)], model): return 1
@predictor("/v1/items")
def predict_items(data: list[Item], model): return 1
"""
    document = schema(program)
    assert requests(document)[JSON]["example"] == "2001:db8::/64"
    assert requests(document, "/v1/numbers")[JSON]["example"] == 1
    assert requests(document, "/v1/items")[JSON]["example"] == [{"number": 1}]
