"""Instances of classes with fields, and dicts, as predictions in formats other than JSON."""

from __future__ import annotations

import dataclasses
import enum
from collections import UserDict
from datetime import datetime
from uuid import UUID

import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from sagemaker_inference._inference import stream_formats
from sagemaker_inference.codecs import arrow, csv, json, jsonlines, npy, npz, parquet, text
from sagemaker_inference.errors import EncodeError


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Data:
    a: float
    b: object = "x"
    _hidden: int = 1


@attrs.define
class Attrs:
    a: float
    b: object = "x"


class Struct(msgspec.Struct):
    a: float
    b: object = "x"
    c: int | msgspec.UnsetType = msgspec.UNSET


class Listed(msgspec.Struct, array_like=True):
    a: float
    b: object = "x"


class Model(pydantic.BaseModel):
    a: float
    b: object = "x"

    def __init__(self, a, b="x"):
        super().__init__(a=a, b=b)


class Rows(pydantic.RootModel[list[object]]):
    pass


def mapping(a, b="x"):
    return UserDict(a=a, b=b)


def plain_dict(a, b="x"):
    return {"a": a, "b": b}


KINDS = [Data, Attrs, Struct, Model, mapping, plain_dict]


@pytest.mark.parametrize("kind", [*KINDS, Listed])
def test_csv_has_a_row_for_each(kind):
    assert csv.encode([kind(0.1), kind(2, "y,z")]) == b'0.1,x\n2,"y,z"\n'.replace(
        b"\n2,", b"\n2.0," if kind is Model else b"\n2,"
    )
    assert csv.encode((kind(1.5, None),)) == b"1.5,\n"
    assert csv.encode(kind(1.5)) == b"1.5,x\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", [parquet, arrow])
def test_tables_have_a_column_for_each_field(codec, kind):
    read = codec.decode(codec.encode([kind(1.5), kind(2.5, "y")]))
    assert read.to_pydict() == {"a": [1.5, 2.5], "b": ["x", "y"]}
    assert codec.decode(codec.encode(kind(1.5))).to_pylist() == [{"a": 1.5, "b": "x"}]
    assert codec.decode(codec.encode((kind(1.5),))).to_pylist() == [{"a": 1.5, "b": "x"}]


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_that_of_json(kind):
    assert text.encode(kind(1.5)) == json.encode(kind(1.5)) == b'{"a":1.5,"b":"x"}'
    assert text.encode([kind(1.5)]) == b'[{"a":1.5,"b":"x"}]'


@pytest.mark.parametrize("kind", [Data, Struct, plain_dict])
def test_fields_that_are_arrays(kind):
    prediction = kind(np.ones(2), np.arange(2))
    assert parquet.decode(parquet.encode(prediction)).to_pydict() == {"a": [1, 1], "b": [0, 1]}
    assert {name: one.tolist() for name, one in npz.decode(npz.encode(prediction)).items()} == {
        "a": [1, 1],
        "b": [0, 1],
    }
    with pytest.raises(EncodeError, match="a cell of CSV"):
        csv.encode(prediction)
    with pytest.raises(EncodeError):
        npy.encode(prediction)


def test_instances_within_instances_are_cells_of_tables_alone():
    nested = [Data(1.0, [Model(2), Listed(3, Color.RED)])]
    assert parquet.decode(parquet.encode([Data(1.0, Struct(2, Color.RED))])).to_pylist() == [
        {"a": 1.0, "b": {"a": 2, "b": "red"}}
    ]
    with pytest.raises(EncodeError, match="a cell of CSV"):
        csv.encode(nested)
    for cell in (Model(1), Data(1)):
        with pytest.raises(EncodeError, match="a cell of CSV"):
            csv.encode([["x", cell]])


def test_array_like_structs_within_instances():
    table = parquet.decode(parquet.encode([Data(1.0, Listed(2, 3))]))
    assert table.to_pylist() == [{"a": 1.0, "b": [2, 3]}]


def test_members_of_enums_and_uuids_are_as_in_json():
    values = [Data(Color.RED, UUID(int=1))]
    identity = "00000000-0000-0000-0000-000000000001"
    assert csv.encode(values) == f"red,{identity}\n".encode()
    assert parquet.decode(parquet.encode(values)).to_pylist() == [{"a": "red", "b": identity}]


def test_times_keep_their_type_in_tables():
    table = parquet.decode(parquet.encode([Data(1.0, datetime(2026, 1, 2))]))  # noqa: DTZ001
    assert table.to_pylist()[0]["b"] == datetime(2026, 1, 2)  # noqa: DTZ001


def test_fields_that_are_not_set_are_left_out():
    @dataclasses.dataclass
    class Unset:
        a: int
        later: int = dataclasses.field(init=False)

    assert json.encode(Unset(1)) == b'{"a":1}'
    assert csv.encode([Unset(1)]) == b"1\n"


def test_a_tag_is_a_field():
    tagged = msgspec.defstruct("Tagged", [("a", int)], tag="t", rename={"a": "A"})
    assert csv.encode([tagged(1)]) == b"t,1\n"
    assert parquet.decode(parquet.encode(tagged(1))).to_pylist() == [{"type": "t", "A": 1}]


def test_models_of_a_single_value_are_that_value():
    assert csv.encode(Rows([1, 2])) == b"1\n2\n"
    assert csv.encode([Rows([1, 2]), Rows([3, 4])]) == b"1,2\n3,4\n"
    assert parquet.decode(parquet.encode(Rows([1, 2]))).to_pydict() == {"0": [1, 2]}
    assert text.encode(Rows([1, 2])) == b"[1,2]"


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}, None, 1])
def test_rows_of_csv_with_other_fields_are_refused(other):
    with pytest.raises(EncodeError, match="row 1 has other fields than row 0"):
        csv.encode([{"a": 1, "b": 2}, other])


def test_the_order_of_fields_is_that_of_the_first_row():
    assert csv.encode([{"a": 1, "b": 2}, {"b": 3, "a": 4}]) == b"1,2\n4,3\n"


def test_models_have_the_names_of_their_schema():
    class Aliased(pydantic.BaseModel):
        a_b: float = pydantic.Field(alias="aB")

    model = Aliased(aB=1)
    assert json.encode([model]) == b'[{"aB":1.0}]'
    assert jsonlines.encode(model) == b'{"aB":1.0}\n'
    assert parquet.decode(parquet.encode(model)).column_names == ["aB"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_of_a_stream_of_csv_is_one_row_or_rows(kind):
    write = stream_formats.built_in("text/csv").write
    assert write(kind(1.5)) == b"1.5,x\n"
    assert write([kind(1.5), kind(2.5)]) == b"1.5,x\n2.5,x\n"
    assert write([1, 2]) == b"1,2\n"
