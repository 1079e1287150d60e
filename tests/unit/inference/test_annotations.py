"""Type hints choose the input."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
import scipy.sparse

from sagemaker_inference import codecs
from sagemaker_inference._http.messages import Headers, Part, Request, Response
from sagemaker_inference._inference import annotations, assembly
from sagemaker_inference._inference.annotations import arrays
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.codecs import npy
from sagemaker_inference.errors import (
    DecodeError,
    InferenceError,
    PayloadTooLargeError,
    RegistrationError,
    StartError,
    UnprocessableInputError,
    UnsupportedMediaTypeError,
)

if TYPE_CHECKING:
    from sagemaker_inference._inference.inference_handler import InferenceHandler

JSON, CSV = "application/json", "text/csv"


@dataclasses.dataclass
class Flower:
    name: str
    petals: list[float]


class Row(TypedDict):
    x: float
    y: int


class Struct(msgspec.Struct):
    x: float


class Model(pydantic.BaseModel):
    x: float
    names: list[str] = []


def converted(hint: Any, body: bytes, content_type: str = JSON) -> Any:
    convert = annotations.converter_for(hint)
    assert convert is not None
    codec = codecs.find(content_type)
    assert codec is not None
    assert codec.decode is not None
    return convert(body, content_type, codec.decode)


@pytest.mark.parametrize("hint", [None, Any, object, Annotated[Any, "of any kind"]])
def test_without_a_hint_any_data_will_do(hint):
    assert annotations.converter_for(hint) is None


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("torch.Tensor", r"torch.Tensor\]?' cannot be evaluated.*without TYPE_CHECKING"),
        (pd.Series, "asks for pandas.*Series, which nothing here makes"),
        (list[pd.DataFrame], "asks for pandas.*DataFrame, which nothing here makes"),
        (dict[str, io.BytesIO], "asks for _io.BytesIO, which nothing here makes"),
        (np.ndarray | dict, "none that bodies can be read as: Type unions"),
        (dataclasses.make_dataclass("Odd", [("x", "Missing")]), "none that .*Missing"),
    ],
)
def test_what_no_body_can_become_is_refused_at_the_start(hint, words):
    for options in ({}, {"max_batch_size": 2}):
        wanted = hint
        if options:
            wanted = f"list[{hint}]" if isinstance(hint, str) else list[hint]
        with pytest.raises(StartError, match=rf"^data of .*predict.* \(.*, line \d+\): .*{words}"):
            served(wanted, **options)


def test_a_hint_that_cannot_be_evaluated_leaves_the_others_be():
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return data

    predict.__annotations__ = {"data": "list[float]", "model": "torch.nn.Module"}
    registry.predictor(predict)
    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b'["x"]').status == 422
    assert asked(handler, b"[1]").status == 200


@pydantic.dataclasses.dataclass
class Positive:
    x: int = pydantic.Field(gt=0)


@dataclasses.dataclass
class Nested:
    models: list[Model]
    other: Nested | None = None


@pytest.mark.parametrize(
    ("hint", "good", "expected", "bad", "words"),
    [
        (Positive, b'{"x": 1}', Positive(1), b'{"x": -5}', "x: Input should be greater than 0"),
        (Positive, b'{"x": 1}', Positive(1), b"{}", "x: Field required"),
        (list[Model], b'[{"x": 1}]', [Model(x=1)], b'[{"x": 1}, {}]', "1.x: Field required"),
        (dict[str, Model], b'{"a": {"x": 1}}', {"a": Model(x=1)}, b'{"a": {}}', "a.x: Field"),
        (Model, b'{"instances": {"x": 1}}', Model(x=1), b'{"instances": {}}', "x: Field required"),
        (Nested, b'{"models": [{"x": 1}]}', Nested([Model(x=1)]), b'{"models": [1]}', "models.0"),
        (
            Annotated[list[float], pydantic.Field(min_length=2)],
            b"[1, 2]", [1.0, 2.0], b"[1]", "the body: List should have at least 2",
        ),
        (
            Annotated[list[float], msgspec.Meta(min_length=2)],
            b"[1, 2]", [1.0, 2.0], b"[1]", "length >= 2",
        ),
        (
            list[Annotated[float, msgspec.Meta(ge=0)]],
            b"[1]", [1.0], b"[-1]", r">= 0.0 - at \$\[0\]",
        ),
    ],
)  # fmt: skip
def test_constraints_hold_wherever_they_stand(hint, good, expected, bad, words):
    assert converted(hint, good) == expected
    with pytest.raises(UnprocessableInputError, match=words):
        converted(hint, bad)


@dataclasses.dataclass
class Scan:
    image: np.ndarray
    weights: npt.NDArray[np.float64]
    boxes: list[float]
    note: object = None


def test_fields_may_be_arrays():
    found = converted(Scan, b'{"image": [[1, 2]], "weights": [0.5], "boxes": [3], "note": [4]}')
    assert (found.image.tolist(), found.weights.tolist()) == ([[1, 2]], [0.5])
    assert (found.boxes, found.note) == ([3.0], [4])
    with pytest.raises(UnprocessableInputError, match=r"nested unevenly.* - at \$.image"):
        converted(Scan, b'{"image": [[1], [[2]]], "weights": [], "boxes": []}')


def test_a_list_of_a_pydantic_model_is_read_from_other_formats():
    assert converted(list[Model], b'{"x": 1}\n{"x": 2}\n', "application/jsonlines")[1].x == 2


@dataclasses.dataclass
class Tree:
    name: str
    branches: list[Tree] = dataclasses.field(default_factory=list)


def test_a_class_may_refer_to_itself():
    found = converted(Tree, b'{"name": "a", "branches": [{"name": "b"}]}')
    assert found == Tree("a", [Tree("b")])


@dataclasses.dataclass
class Mixed:
    image: np.ndarray
    model: Model


def test_what_pydantic_cannot_read_is_refused_at_the_start():
    with pytest.raises(RegistrationError, match=r"asks for .*Model, which nothing here makes"):
        annotations.converter_for(Mixed)


@dataclasses.dataclass
class Cached:
    x: float
    path: Path = Path()
    frame: pd.DataFrame | None = None


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (Cached, b'{"x": 1}', Cached(1.0)),
        (Iterable[float], b"[1]", [1.0]),
        (Iterable, b"[1]", [1]),
        (Annotated[np.ndarray, pydantic.Field(description="rows")], b"[1]", np.array([1])),
        (Annotated[list, pydantic.Field(max_length=1)], b"[1]", [1]),
        (pydantic.AwareDatetime, b'"2026-01-01T00:00:00Z"', None),
        (bytes | str, b"[1]", b"[1]"),
    ],
)
def test_what_can_be_made_is_not_refused(hint, body, expected):
    found = converted(hint, body)
    assert expected is None or type(found) is type(expected)
    assert expected is None or found == expected


@pytest.mark.parametrize("hint", [dict[str, float], list[float] | dict, Struct, Flower])
def test_arrays_are_no_objects(hint):
    with pytest.raises(UnprocessableInputError):
        converted(hint, b"1,2", CSV)


def test_types_that_refer_to_each_other_are_read_once():
    names = [f"Node{index}" for index in range(12)]
    fields = [(name.lower(), f"{name} | None", None) for name in names]
    module = sys.modules[__name__]
    try:
        for name in names:
            found = msgspec.defstruct(name, fields, module=__name__, kw_only=True)
            setattr(module, name, found)
        assert converted(module.Node0, b'{"node1": {"node2": {}}}').node1.node2 is not None
    finally:
        for name in names:
            delattr(module, name)


def test_the_programs_own_decoder_may_make_what_nothing_here_can():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.decoder("image/*")(lambda body: pd.Series(list(body)))

    def predict(data):
        return int(data.sum())

    predict.__annotations__ = {"data": pd.Series}
    registry.predictor(predict)
    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b"\1\2", "image/x").body == b"3"
    assert asked(handler, b"[1]").status == UnsupportedMediaTypeError.status
    form = sent_to(handler, FIELDS)
    assert form.status == UnsupportedMediaTypeError.status


@pytest.mark.parametrize("hint", [bytes | None, Annotated[bytes, "raw"], Optional[bytes]])  # noqa: UP045
def test_bodies_that_may_be_none_are_taken_in_any_type(hint):
    assert annotations.is_raw(hint)
    assert asked(served(hint), b"hello", "application/x-foo").body == b"bytes b'hello'"


def test_every_abstract_sparse_class_is_given():
    for kind in (scipy.sparse.sparray, scipy.sparse.spmatrix, scipy.sparse.coo_array):
        assert isinstance(converted(kind, b"[[1, 0], [0, 2]]"), kind)


def test_integers_of_a_csv_table_stay_integers():
    frame = converted(pd.DataFrame, b"id,p\n9007199254740993,1.5\n1,2.5\n", CSV)
    assert frame["id"].tolist() == [9007199254740993, 1]
    assert frame.dtypes.astype(str).tolist() == ["int64", "float64"]
    assert converted(pd.DataFrame, b"1.0,2\n", CSV).dtypes.astype(str).tolist()[0] == "float64"
    assert list(converted(pd.DataFrame, b",a\n0,1.5\n1,2.5\n", CSV).columns) == ["", "a"]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [(bytes, b"[1]"), (bytearray, bytearray(b"[1]")), (memoryview, memoryview(b"[1]"))],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_raw_bodies_come_as_they_are(hint, expected, kind):
    found = converted(hint, kind(b"[1]"))
    assert type(found) is hint
    assert found == expected
    assert annotations.is_raw(hint)


def test_text_is_read_by_its_charset():
    assert converted(str, "é".encode("latin-1"), "text/csv; charset=latin-1") == "é"
    assert converted(str, "é".encode()) == "é"
    with pytest.raises(DecodeError, match="not valid ascii at byte 0"):
        converted(str, "é".encode(), "text/csv; charset=ascii")
    for charset in ("no-such-charset", "punycode"):
        with pytest.raises(UnsupportedMediaTypeError, match=f"Charset '{charset}'"):
            converted(str, "é".encode(), f"text/csv; charset={charset}")


def test_arrays_are_of_numbers():
    assert converted(np.ndarray, b"[[1, 2], [3, 4]]").tolist() == [[1, 2], [3, 4]]
    assert converted(npt.NDArray[np.float64], b"1.5,2.5\n", CSV).tolist() == [[1.5, 2.5]]
    assert converted(np.ndarray, b"true").tolist() is True


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1}', "the body is of type dict"),
        (b"[[1, 2], [3]]", "row 2 is of another length"),
        (b'[[1, 2], [3, "x"]]', "row 2, column 2, not str 'x'"),
        (b'[1, "x"]', "row 2, column 1, not str 'x'"),
        (b"[[[1], [1, 2]]]", "nested unevenly"),
        (b'"text"', "the body is of type str"),
    ],
)
def test_an_array_that_is_none_tells_the_place(body, words):
    with pytest.raises(UnprocessableInputError, match=words.replace("(", r"\(")):
        converted(np.ndarray, body)


def test_tables_have_their_columns_names():
    frame = converted(pd.DataFrame, b"a,b\n1,x\n2,y\n", CSV)
    assert list(frame.columns) == ["a", "b"]
    assert frame["a"].tolist() == [1, 2]
    assert frame["a"].dtype == np.int64
    assert list(converted(pd.DataFrame, b"1,2\n3,4\n", CSV).columns) == [0, 1]
    frame = converted(pd.DataFrame, b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]')
    assert list(frame.columns) == ["a", "b"]
    with pytest.raises(UnprocessableInputError, match="makes no table"):
        converted(pd.DataFrame, b'{"a": 1}')


def test_a_table_that_comes_as_one_stays_one():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
    body, kind = frame.to_parquet(), "application/x-parquet"
    assert converted(pd.DataFrame, body, kind).equals(frame)
    assert converted(np.ndarray, body, kind).tolist() == [[1.5, 1], [2.5, 2]]
    assert converted(list[dict[str, float]], body, kind) == frame.to_dict("records")
    assert converted(pa.Table, body, kind).column_names == ["a", "b"]
    with pytest.raises(UnprocessableInputError, match="A Table is wanted"):
        converted(pa.Table, b"[1]")
    words = pd.DataFrame({"a": ["x"]}).to_parquet()
    with pytest.raises(UnprocessableInputError, match="An array of numbers is wanted"):
        converted(np.ndarray, words, kind)


@pytest.mark.parametrize("hint", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
def test_sparse_classes_come_as_annotated(hint):
    found = converted(hint, b"[[0, 1], [2, 0]]")
    assert type(found) is hint
    assert found.toarray().tolist() == [[0, 1], [2, 0]]


def test_a_sparse_matrix_that_comes_as_one_stays_one():
    buffer = io.BytesIO()
    scipy.sparse.save_npz(buffer, scipy.sparse.csr_matrix([[0, 1]]))
    found = converted(scipy.sparse.csr_matrix, buffer.getvalue(), "application/x-npz")
    assert found.toarray().tolist() == [[0, 1]]


def test_a_decoder_of_anything_gets_bytes():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("text/csv")
    def read(body: Any):
        return repr(body)

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, bytearray(b"1"), CSV).body == b"b'1'"


def test_fields_of_forms_are_text_where_they_name_no_type():
    handler = served(None)
    parts = [Part("a", "", b"1"), Part("b", JSON, b"[1]")]
    headers = Headers([("Content-Type", "multipart/form-data"), ("Accept", "text/plain")])
    body = run_without_loop(handler.answer([Request("id", headers, fields=parts)]))[0].body
    assert bytes(body) == b"dict {'a': '1', 'b': array([1])}"
    assert run_without_loop(handler.answer([Request("id", headers, fields=[])]))[0].status == 400


FIELDS = [Part("a", "", b"1"), Part("b", "", b"2")]


def sent(hint: Any, parts: list[Part], kind: str = "application/x-www-form-urlencoded") -> Response:
    return sent_to(served(hint), parts, kind)


def sent_to(
    handler: InferenceHandler, parts: list[Part], kind: str = "application/x-www-form-urlencoded"
) -> Response:
    headers = Headers([("Content-Type", kind), ("Accept", "text/plain")])
    return run_without_loop(handler.answer([Request("id", headers, fields=parts)]))[0]


@pytest.mark.parametrize(
    "hint",
    [
        np.ndarray, pd.DataFrame, scipy.sparse.csr_matrix, bytes, str, list, list[float], Flower,
        Row, Struct, Model, np.ndarray | None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_forms_that_do_not_fit_the_annotation_are_refused(hint, kind):
    assert sent(hint, FIELDS, kind).status == 422


def test_forms_are_converted_to_what_is_annotated():
    parts = [Part("x", "", b"1"), Part("y", "", b"2")]
    assert sent(dict, FIELDS).body == b"dict {'a': '1', 'b': '2'}"
    assert sent(Row, parts).body == b"dict {'x': 1.0, 'y': 2}"
    assert sent(Struct, parts).body == b"Struct Struct(x=1.0)"
    assert sent(Model, parts).body == b"Model x=1.0 names=[]"
    assert converted(Row, b"x=1&y=2", "application/x-www-form-urlencoded") == {"x": 1.0, "y": 2}


class Tagged(pydantic.BaseModel):
    tags: list[str]
    note: str = ""


@dataclasses.dataclass
class Marked:
    tags: set[str]
    weights: list[float] | None = None


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (Tagged, b"tags=a&note=b", Tagged(tags=["a"], note="b")),
        (Tagged, b"tags=a&tags=b", Tagged(tags=["a", "b"])),
        (Marked, b"tags=a", Marked({"a"})),
        (Marked, b"tags=a&weights=1", Marked({"a"}, [1.0])),
    ],
)
def test_a_list_of_one_value_is_a_list_in_forms_too(hint, body, expected):
    assert converted(hint, body, "application/x-www-form-urlencoded") == expected


def test_deep_values_are_refused_where_they_do_not_fit():
    deep = b'{"x": ' * 1000 + b"1" + b"}" * 1000
    for hint in (Struct, Model):
        with pytest.raises(UnprocessableInputError):
            converted(hint, deep, "text/json")


def test_parts_of_forms_are_as_their_formats_say_until_the_whole_is_converted():
    parts = [Part("name", "", b"iris"), Part("petals", JSON, b"[1, 2]")]
    kind = "multipart/form-data"
    assert sent(Flower, parts, kind).body == b"Flower Flower(name='iris', petals=[1.0, 2.0])"
    parts = [Part("a", CSV, b"1,2\n"), Part("b", JSON, b'{"c": 1}')]
    assert sent(dict, parts, kind).body == b"dict {'a': array([[1, 2]]), 'b': {'c': 1}}"
    own = sent(dict, [Part("a", "application/x-own", b"1")], kind)
    assert own.body == b"dict {'a': b'1'}"


def test_a_sparse_body_that_is_enormous_when_dense_is_refused():
    for hint in (np.ndarray, pd.DataFrame):
        with pytest.raises(PayloadTooLargeError, match="sparse body of 14 bytes"):
            converted(hint, b"0 2147483646:1", "text/libsvm")
    assert converted(pd.DataFrame, b"0 1:2", "text/libsvm").to_numpy().tolist() == [[0, 2]]


def test_what_makes_no_matrix_is_refused():
    with pytest.raises(UnprocessableInputError, match="3 dimensions and dtype int64"):
        converted(scipy.sparse.csr_matrix, b"[[[1]]]")
    half = npy.encode(np.ones((1, 1), np.float16))
    with pytest.raises(UnprocessableInputError, match="2 dimensions and dtype float16"):
        converted(scipy.sparse.csr_matrix, half, "application/x-npy")


@pytest.mark.parametrize("hint", [np.ndarray | None, Optional[np.ndarray], None | Model])  # noqa: UP045
def test_what_may_be_none_is_none_for_null(hint):
    assert converted(hint, b" null\n") is None
    if hint != None | Model:
        assert converted(hint, b"[1, 2]").tolist() == [1, 2]
        assert converted(hint, b"1,2", CSV).tolist() == [[1, 2]]
    assert converted(list[float] | None, b"null") is None
    assert converted(float | str, b"1.5") == 1.5


def test_instances_are_unwrapped_where_there_is_no_place_for_the_whole():
    class Whole(TypedDict):
        instances: list[float]

    body = b'{"instances": [1, 2]}'
    assert converted(list[float], body) == [1.0, 2.0]
    assert converted(list[Struct], b'{"instances": [{"x": 1}]}') == [Struct(1)]
    assert converted(Whole, body) == {"instances": [1.0, 2.0]}
    assert converted(dict, body) == {"instances": [1, 2]}
    for wrong in (b'{"instances": [1], "more": 1}', b'{"instances": ["x"]}'):
        with pytest.raises(UnprocessableInputError):
            converted(list[float], wrong)


@pytest.mark.parametrize("body", [b"null", b"1", b'"a"', b'{"a": 1}', b"[[[1]]]"])
def test_what_makes_no_table_is_refused_in_our_words(body):
    with pytest.raises(UnprocessableInputError, match="makes no table; send rows, records"):
        converted(pd.DataFrame, body)


def test_the_cell_that_is_no_number_is_named_not_its_column():
    for body, words in ((b"1,2\n3,x", "row 2, column 2, not str 'x'"), (b"1,x", "not str 'x'")):
        with pytest.raises(UnprocessableInputError, match=words):
            converted(np.ndarray, body, CSV)
    with pytest.raises(UnprocessableInputError, match="row 1, column 1, not str '1'"):
        converted(np.ndarray, b'["1", "x"]')
    words = npy.encode(np.array([["1"]]))
    with pytest.raises(UnprocessableInputError, match="row 1, column 1, not str '1'"):
        converted(np.ndarray, words, "application/x-npy")


def test_sparse_data_become_dense_where_that_is_wanted():
    assert arrays.as_numbers(scipy.sparse.csr_matrix([[0, 1]])).tolist() == [[0, 1]]


def test_dicts_and_lists_are_checked():
    assert converted(dict, b'{"a": 1}') == {"a": 1}
    assert converted(list, b"[1, 2]") == [1, 2]
    with pytest.raises(UnprocessableInputError, match="A dict is wanted"):
        converted(dict, b"[1, 2]")
    with pytest.raises(UnprocessableInputError, match="A list is wanted"):
        converted(list, b'{"a": 1}')


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (list[float], b"[1, 2.5]", [1.0, 2.5]),
        (Flower, b'{"name": "iris", "petals": [1, 2]}', Flower("iris", [1.0, 2.0])),
        (list[Row], b'[{"x": 1, "y": 2}]', [{"x": 1.0, "y": 2}]),
        (Struct, b'{"x": 1}', Struct(1.0)),
        (Model, b'{"x": 1}', Model(x=1)),
    ],
)
def test_structures_are_validated(hint, body, expected):
    assert converted(hint, body) == expected


@pytest.mark.parametrize("hint", [Flower, Model])
def test_structures_are_read_by_the_charset_of_the_body(hint):
    text = '{"name": "é", "petals": [], "x": 1, "names": ["é"]}'
    for charset in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        found = converted(hint, text.encode(charset), f"{JSON}; charset={charset}")
        assert "é" in str(found)
    assert "é" in str(converted(hint, text.encode("utf-8-sig")))
    with pytest.raises(UnsupportedMediaTypeError, match="Charset 'nope'"):
        converted(hint, text.encode(), f"{JSON}; charset=nope")


def test_what_pydantic_cannot_read_is_said_to_be_invalid_once():
    with pytest.raises(DecodeError, match=r"^Invalid JSON: (?!Invalid)"):
        converted(Model, b"[1")


def test_structures_come_from_other_formats_too():
    assert converted(list[list[float]], b"1,2\n3,4\n", CSV) == [[1.0, 2.0], [3.0, 4.0]]
    body = b'{"x": 1}\n{"x": 2}\n'
    assert converted(list[Struct], body, "application/jsonlines") == [Struct(1), Struct(2)]
    with pytest.raises(UnprocessableInputError):
        converted(Model, body, "application/jsonlines")


@pytest.mark.parametrize(
    ("hint", "body", "field"),
    [
        (list[float], b'[1, "x"]', r"\$\[1\]"),
        (Flower, b'{"name": "iris"}', "petals"),
        (Flower, b'{"name": 1, "petals": []}', r"\$.name"),
        (list[Row], b'[{"x": 1, "y": "z"}]', r"\$\[0\].y"),
        (Model, b'{"x": 1, "names": [1]}', "names.0"),
        (Model, b"[]", "the body"),
    ],
)
def test_a_field_that_does_not_fit_is_named(hint, body, field):
    with pytest.raises(UnprocessableInputError, match=field):
        converted(hint, body)


@pytest.mark.parametrize("hint", [list[float], Model])
@pytest.mark.parametrize("body", [b"[1, 2", b"", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_400(hint, body):
    with pytest.raises(InferenceError) as caught:
        converted(hint, body)
    assert caught.value.status_code in (400, 422)


def test_a_missing_msgspec_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(RegistrationError, match=r"sagemaker-inference\[types\]"):
        annotations.converter_for(list[float])
    with pytest.raises(StartError, match=r"sagemaker-inference\[types\]"):
        served(list[float])


def test_tensors_are_made_where_torch_is(monkeypatch):
    class Tensor:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

    class Torch:
        @staticmethod
        def from_numpy(array: np.ndarray) -> Tensor:
            assert array.flags.writeable
            assert array.dtype.isnative
            if array.dtype == np.longdouble:
                message = "can't convert np.ndarray of type numpy.longdouble"
                raise TypeError(message)
            return Tensor(array)

    Tensor.__module__ = "torch"
    monkeypatch.setitem(sys.modules, "torch", Torch)
    assert converted(Tensor, b"[[1, 2]]").array.tolist() == [[1, 2]]
    assert converted(Tensor, b"[18446744073709551615]").array.dtype.char == np.dtype("uint64").char
    swapped = npy.encode(np.array([1.5], ">f4"))
    assert converted(Tensor, swapped, "application/x-npy").array.tolist() == [1.5]
    with pytest.raises(UnprocessableInputError, match="torch has no tensors of"):
        converted(Tensor, npy.encode(np.ones(1, np.longdouble)), "application/x-npy")


def served(hint: Any, **options: Any) -> InferenceHandler:
    """A program whose predictor says what it was given."""
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return f"{type(data).__name__} {data}"

    def predict_all(data, model):
        return [f"{type(item).__name__} {item}" for item in data]

    function = predict_all if options else predict
    function.__annotations__ = {"data": hint}
    registry.predictor(**options)(function)
    handler = assembly.assemble(registry, "inference.py")
    handler.load(".")
    return handler


def asked(handler: InferenceHandler, body: bytes, content_type: str = JSON) -> Response:
    headers = Headers([("Content-Type", content_type), ("Accept", "text/plain")])
    request = Request("id", headers, body)
    return run_without_loop(handler.answer([request]))[0]


def test_a_predictor_gets_what_it_is_annotated_with():
    assert asked(served(bytes), b"[1]").body == b"bytes b'[1]'"
    assert asked(served(list[float]), b"[1]").body == b"list [1.0]"
    assert asked(served(Flower), b"{}").status == 422
    assert asked(served(np.ndarray), b'"a"').status == 422
    assert asked(served(None), b'"a"').body == b"str a"


def test_a_predictor_of_raw_bodies_takes_any_content_type():
    assert asked(served(str), b"abc", "application/x-own").body == b"str abc"
    assert asked(served(np.ndarray), b"abc", "application/x-own").status == 415


def test_each_input_of_a_batch_is_what_the_list_is_annotated_with():
    handler = served(list[Flower], max_batch_size=4)
    body = json.dumps({"name": "iris", "petals": []}).encode()
    assert b"Flower" in asked(handler, body).body
    assert asked(handler, b"[]").status == 422
    assert asked(served(list, max_batch_size=4), b"[1]").body == b"ndarray [1]"


def test_stacked_inputs_are_each_what_the_whole_is_annotated_with():
    handler = served(np.ndarray, max_batch_size=4, collate="concatenate")
    assert asked(handler, b'["x"]').status == 422


def test_a_decoder_gets_what_it_is_annotated_with():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("text/csv", "image/*")
    def read(body: np.ndarray):
        return f"{type(body).__name__} {body.tolist()}"

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b"1,2\n", CSV).body == b"ndarray [[1, 2]]"
    assert asked(handler, b"x,2\n", CSV).status == 422
    assert asked(handler, b"1,2\n", "").body == b"ndarray [[1, 2]]"


def test_a_decoder_of_several_types_refuses_what_no_format_reads():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("application/x-own", JSON)
    def read(body: dict):
        return f"{body}"

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b'{"a": 1}').body == b"{'a': 1}"
    assert asked(handler, b'{"a": 1}', "").body == b"{'a': 1}"
    assert asked(handler, b"{}", "application/x-own").status == UnsupportedMediaTypeError.status


def test_a_decoder_cannot_have_made_what_no_format_of_its_types_gives():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("application/x-own")
    def read(body: np.ndarray): ...

    with pytest.raises(StartError, match=r"^body of .*read \(.*no format here reads application/x"):
        assembly.assemble(registry, "inference.py")
