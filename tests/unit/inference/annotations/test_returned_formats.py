"""A return annotation checks predictions, and encoders write them as they do without it."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime  # noqa: TC003 - fields are evaluated
from typing import TYPE_CHECKING, Annotated, TypedDict
from uuid import UUID  # noqa: TC003

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest

from sagemaker_inference import assemble
from sagemaker_inference._config import Config
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference.annotations.by_msgspec import plain_converter
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference.codecs import parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_JSON = "application/json"


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Data:
    a: float
    b: str = "x"


@attrs.define
class Attrs:
    a: float
    b: str = "x"


class Struct(msgspec.Struct):
    a: float
    b: str = "x"


class Typed(TypedDict):
    a: float
    b: str


class Model(pydantic.BaseModel):
    a: float
    b: str = "x"


class Aliased(pydantic.BaseModel):
    a_b: float = pydantic.Field(alias="aB")


@pydantic.dataclasses.dataclass
class AliasedData:
    a_b: float = pydantic.Field(alias="aB")


class Renamed(msgspec.Struct, rename="camel"):
    a_b: float


class Listed(msgspec.Struct, array_like=True):
    a: float
    b: str


@dataclasses.dataclass
class Rich:
    color: Color
    identity: UUID


class RichModel(pydantic.BaseModel):
    color: Color
    identity: UUID


class Scores(pydantic.BaseModel):
    scores: list[float]
    label: str


@dataclasses.dataclass
class Outer:
    inner: list[Data]


@dataclasses.dataclass
class Child(Data):
    c: int = 1


@dataclasses.dataclass
class Timed:
    at: datetime
    n: int | None = None


class Open(pydantic.BaseModel, extra="allow"):
    a: float


class Chosen(pydantic.BaseModel):
    a: float = pydantic.Field(validation_alias=pydantic.AliasChoices("p", "q"))
    b: float = pydantic.Field(1, validation_alias=pydantic.AliasPath("r", 0))


class Counted(pydantic.BaseModel):
    n: Annotated[int, pydantic.BeforeValidator(len)]


class Tagged(msgspec.Struct, tag="t"):
    a: float


KINDS = [Data, Attrs, Struct, Typed, Model]
ROWS = [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": "y"}]


@pytest.fixture
def predicted(registry) -> Callable[..., Any]:
    """The response to a request, of a predictor with an annotation."""

    def make(hint: Any, returned: Any, accept: str = _JSON) -> Any:
        predict = lambda data, model: returned  # noqa: E731 - it gets an annotation
        predict.__annotations__ = {"return": hint}
        registry.model_loader(lambda: None)
        registry.predictor(predict)
        handler = assemble(registry)
        handler.load(".")
        requests = [Request.from_body(b"1", _JSON, accept=accept) for _ in range(2)]
        try:
            return handler.run(whole_answers(handler, requests))[0]
        finally:
            handler.close()

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (_JSON, b'[{"a":1.0,"b":"x"},{"a":2.5,"b":"y"}]'),
        ("application/jsonlines", b'{"a":1.0,"b":"x"}\n{"a":2.5,"b":"y"}\n'),
        ("text/plain", b'[{"a":1.0,"b":"x"},{"a":2.5,"b":"y"}]'),
        ("text/csv", b"1.0,x\n2.5,y\n"),
    ],
)
def test_dicts_are_written_as_they_are_without_the_annotation(predicted, kind, accept, body):
    assert bytes(predicted(list[kind], ROWS, accept).body) == body


@pytest.mark.parametrize("kind", KINDS)
def test_parquet_has_the_rows(predicted, kind):
    response = predicted(list[kind], ROWS, "application/x-parquet")
    assert parquet.decode(response.body).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("hint", "returned", "body"),
    [
        (Aliased, {"aB": 1}, '{"aB":1.0}'),
        (Aliased, Aliased(aB=1), '{"aB":1.0}'),
        (list[Aliased], [{"aB": 1}, Aliased(aB=2)], '[{"aB":1.0},{"aB":2.0}]'),
        (AliasedData, {"aB": 1}, '{"aB":1.0}'),
        (Renamed, {"aB": 1}, '{"aB":1.0}'),
        (Renamed, Renamed(1.5), '{"aB":1.5}'),
    ],
)
def test_fields_have_the_names_of_the_schema(predicted, hint, returned, body):
    assert bytes(predicted(hint, returned).body).decode() == body


def test_lists_in_place_of_objects_stay_lists(predicted):
    assert bytes(predicted(Listed, [1, "x"]).body) == b'[1.0,"x"]'


@pytest.mark.parametrize("kind", [Rich, RichModel])
def test_texts_stay_texts(predicted, kind):
    identity = "00000000-0000-0000-0000-000000000001"
    returned = {"color": "red", "identity": identity}
    assert bytes(predicted(kind, returned, "text/csv").body).decode() == f"red,{identity}\n"


def test_encoders_of_the_program_get_dicts(registry):
    seen = []
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data, model) -> Data:
        return {"a": np.float32(1.5)}

    registry.encoder("a/b")(lambda prediction: seen.append(prediction) or b"")
    handler = assemble(registry)
    handler.load(".")
    request = Request.from_body(b"1", _JSON, accept="a/b")
    handler.run(whole_answers(handler, [request]))
    handler.close()
    assert seen == [{"a": 1.5, "b": "x"}]


def test_arrays_may_be_lists_of_models_of_pydantic(predicted):
    returned = {"scores": np.array([0.5, 1.0]), "label": np.str_("a")}
    assert bytes(predicted(Scores, returned).body) == b'{"scores":[0.5,1.0],"label":"a"}'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("accept", "body"),
    [(_JSON, b'[{"a":1.0,"b":"x"},{"a":2.5,"b":"y"}]'), ("text/csv", b"1.0,x\n2.5,y\n")],
)
def test_a_data_frame_is_its_rows(predicted, kind, accept, body):
    assert bytes(predicted(list[kind], pd.DataFrame(ROWS), accept).body) == body


def test_times_of_pandas_are_times(predicted):
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-02"]), "n": pd.array([None], "Int64")})
    body = predicted(list[Timed], frame).body
    assert bytes(body) == b'[{"at":"2026-01-02T00:00:00","n":null}]'


@pytest.mark.parametrize("kind", [Data, Model, list[Data]])
def test_an_iterator_is_a_stream_whatever_the_annotation(predicted, kind):
    response = predicted(kind, iter([{"a": 1}]), "application/jsonlines")
    assert (response.status, bytes(response.body)) == (200, b'{"a":1}\n')


@pytest.mark.parametrize(
    ("hint", "returned"),
    [
        (list[Data], {}),
        (dict[str, Data], []),
        (list[Data], {"a": Data(1)}),
        (tuple[Data, Struct], (Data(1), Data(2), Data(3))),
    ],
)
def test_containers_are_checked(predicted, hint, returned):
    assert predicted(hint, returned).status == 500


def test_tuples_of_instances(predicted):
    assert bytes(predicted(tuple[Data, ...], (Data(1),)).body) == b'[{"a":1,"b":"x"}]'


@pytest.mark.parametrize(
    ("hint", "returned", "names"),
    [
        (Data, {"a": 1, "k": 1, "l": 2}, "k, l"),
        (Child, {"a": 1, "c": 2, "k": 1}, "k"),
        (Attrs, {"a": 1, "k": 1}, "k"),
        (Struct, {"a": 1, "k": 1}, "k"),
        (Typed, {"a": 1, "b": "x", "k": 1}, "k"),
        (Model, {"a": 1, "k": 1}, "k"),
        (list[Data], [{"a": 1, "k": 1}], "0.k"),
        (Outer, {"inner": [{"a": 1, "k": 1}]}, "inner.0.k"),
        (dict[str, Data], {"n": {"a": 1, "k": 1}}, "n.k"),
    ],
)
def test_fields_that_are_left_out_are_named_once(predicted, caplog, hint, returned, names):
    response = predicted(hint, returned)
    assert response.status == 200
    assert b'"k"' not in response.body
    assert caplog.text.count("returned fields that its annotation does not have") == 1
    assert caplog.text.rstrip().endswith(f"the answers: {names}")


@pytest.mark.parametrize(
    ("hint", "returned"),
    [
        (Child, {"a": 1, "c": 2}),
        (Aliased, {"aB": 1}),
        (Open, {"a": 1, "k": {"l": 2}}),
        (Chosen, {"q": 1, "r": [2]}),
        (Renamed, {"aB": 1}),
        (Tagged, {"type": "t", "a": 1}),
        (list[Data], []),
        (Counted, {"n": {"k": 1}}),
        (Model, Data(1)),
    ],
)
def test_nothing_is_said_of_what_is_not_left_out(predicted, caplog, hint, returned):
    assert predicted(hint, returned).status == 200
    assert "left out" not in caplog.text


def test_placeholders_of_a_job_are_for_bad_records_alone(registry):
    registry.model_loader(lambda: None)

    @registry.predictor(on_bad_record="placeholder")
    def predict(rows: list[tuple[int, float]], model) -> list[Data]:
        return [{"a": row[1]} for row in rows]

    handler = assemble(
        registry, config=dataclasses.replace(Config.from_environment(), is_batch=True)
    )
    handler.load(".")
    request = Request.from_body(b"1,2.5\nz,1\n3,4.5\n", "text/csv", accept="text/csv")
    try:
        [response] = handler.run(whole_answers(handler, [request]))
    finally:
        handler.close()
    assert bytes(response.body) == b"2.5,x\n,\n4.5,x\n"


@dataclasses.dataclass
class MayLack:
    rooms: int | None


def test_what_pandas_does_not_know_is_none():
    assert plain_converter(MayLack)({"rooms": pd.NA}) == MayLack(None)
