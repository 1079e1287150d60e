from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from sagemaker_inference import codecs
from sagemaker_inference.codecs import _arrays, csv, json, npy
from sagemaker_inference.errors import EncodeError


class Tensor:
    """As much of torch's Tensor as is asked for."""

    def __init__(self, array, *, plain=True):
        self.array, self.plain = array, plain

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.array)

    def numpy(self):
        if self.plain:
            return self.array
        message = "Got unsupported ScalarType BFloat16"
        raise TypeError(message)


class Sparse(Tensor):
    def numpy(self):
        message = "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first."
        raise TypeError(message)

    float = None

    def to_dense(self):
        return Tensor(self.array)


class Complex(Tensor):
    def resolve_conj(self):
        return self

    def resolve_neg(self):
        return self


@pytest.mark.parametrize(
    "prediction",
    [
        np.array([[1.0, 2.0]]),
        np.matrix([[1.0, 2.0]]),
        [[1.0, 2.0]],
        ((1.0, 2.0),),
        Tensor(np.array([[1.0, 2.0]])),
        Tensor(np.array([[1.0, 2.0]]), plain=False),
        Complex(np.array([[1.0, 2.0]])),
        Sparse(np.array([[1.0, 2.0]])),
        [Tensor(np.array([1.0, 2.0]), plain=False)],
        (Tensor(np.array([1.0, 2.0])),),
        scipy.sparse.csr_matrix([[1.0, 2.0]]),
        pd.DataFrame({"a": [1.0], "b": [2.0]}),
        iter([[1.0, 2.0]]),
    ],
)
def test_numbers_of_any_library_become_an_array(prediction):
    array = _arrays.as_array(prediction, "test")
    assert array.tolist() == [[1.0, 2.0]]


def test_predictions_of_other_libraries_are_written():
    tensor = Tensor(np.array([[0.5, 1]], np.float32), plain=False)
    assert json.encode(tensor) == b"[[0.5,1.0]]"
    assert json.encode({"logits": tensor}) == b'{"logits":[[0.5,1.0]]}'
    assert csv.encode(tensor) == b"0.5,1.0\n"
    assert json.encode(scipy.sparse.csr_matrix([[0, 1]])) == b"[[0,1]]"
    assert json.encode(pd.Series([1, 2])) == b"[1,2]"
    assert json.encode(pd.DataFrame({"a": [1], "b": ["x"]})) == b'[{"a":1,"b":"x"}]'
    assert csv.encode(pd.DataFrame({"a": [1], "b": ["x"]})) == b"1,x\n"


def test_small_floats_of_ml_dtypes_are_written_as_float32():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float4_e2m1fn", "float6_e2m3fn", "float8_e4m3fn", "float8_e5m2"):
        dtype = getattr(ml_dtypes, name, None) or pytest.skip(f"{name} is newer")
        array = np.array([0.5, 1.5], dtype)
        assert json.encode(array) == b"[0.5,1.5]"
        assert json.encode(array[0]) == b"0.5"
        assert csv.encode(array) == b"0.5\n1.5\n"
        assert npy.encode(array) == npy.encode(np.array([0.5, 1.5], np.float32))


def test_small_integers_of_ml_dtypes_are_written_as_integers():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype, low in ((ml_dtypes.int4, -8), (ml_dtypes.uint4, 0)):
        array = np.array([low, 7], dtype)
        assert json.encode(array) == json.encode([low, 7])
        assert json.encode({"a": array[0]}) == json.encode({"a": low})
        assert csv.encode(array) == csv.encode([low, 7])
        assert npy.decode(npy.encode(array)).tolist() == [low, 7]


def test_numbers_of_numpy_keep_their_dtype():
    for name in ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"):
        scalar = np.ones((), name)[()]
        assert _arrays.as_array([scalar], "test").dtype == name
        assert _arrays.with_known_numbers(np.ones(1, name)).dtype == name


def test_a_time_zone_is_kept_in_a_single_value_and_in_a_list():
    noon = pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris")
    assert csv.encode(noon) == csv.encode([noon]) == b"2020-07-01 12:00:00+02:00\n"
    with pytest.raises(EncodeError, match="NPY"):
        npy.encode(noon)


def test_the_message_names_type_and_format():
    with pytest.raises(EncodeError) as caught:
        npy.encode([{1}, "a"])
    assert caught.value.message == (
        "A prediction of type list cannot be written as NPY: it holds Python objects other than "
        "text alone or numbers alone. Return plain values or arrays, or write it with an @encoder."
    )
    with pytest.raises(EncodeError, match="list cannot be written as CSV: setting an array"):
        csv.encode([[1], [2, 3]])
    with pytest.raises(EncodeError, match=r"test_arrays\.Tensor cannot be written as CSV"):
        csv.encode(Tensor(np.zeros((1, 1, 1))))


class Broken:
    def __array__(self, *_, **__):
        message = "mine"
        raise TypeError(message)


@pytest.mark.parametrize("name", sorted(codecs.encodable()))
def test_only_an_error_of_the_program_has_a_traceback(name):
    """Those of libraries are up to four in a row, which show how this package calls them."""
    encode = codecs.for_content_type(name).encode
    with pytest.raises(EncodeError, match="@encoder") as caught:
        encode({"a": object()}, name)
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert len(error.message) <= 300
    with pytest.raises(EncodeError, match=r": mine\. Return") as caught:
        encode(Broken(), name)
    assert str(caught.value.__cause__) == "mine"


def test_masked_values_are_not_written():
    floats = np.ma.array([1.5, 2.5], mask=[True, False])
    assert npy.encode(floats) == npy.encode(np.array([np.nan, 2.5]))
    assert csv.encode(floats) == b"nan\n2.5\n"
    integers = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert csv.encode(integers) == b"1,\n3,4\n"
    assert json.encode({"a": integers, "b": floats}) == b'{"a":[[1,null],[3,4]],"b":[null,2.5]}'
    assert json.encode([integers[0, 1]]) == b"[null]"
    days = np.ma.array(["2026-01-01", "2026-01-02"], "M8[D]", mask=[0, 1])
    assert json.encode(days) == b'["2026-01-01",null]'
    assert csv.encode(list(floats.reshape(2, 1))) == b"nan\n2.5\n"
    assert csv.encode(iter(floats.reshape(2, 1))) == b"nan\n2.5\n"
    assert csv.encode([[1, np.ma.masked], [3, 4]]) == b"1.0,nan\n3.0,4.0\n"
    assert npy.encode([[floats, floats]]) == npy.encode([[[np.nan, 2.5], [np.nan, 2.5]]])
    assert json.encode([[floats]]) == b"[[[null,2.5]]]"
    switches = np.ma.array([True, False], mask=[0, 1])
    assert json.encode(switches) == b"[true,null]"
    with pytest.raises(EncodeError):
        npy.encode(integers)


def test_a_list_that_contains_itself_is_an_encode_error():
    assert np.ma.masked is not None
    itself = []
    itself.append(itself)
    for codec in (json, csv, npy):
        with pytest.raises(EncodeError):
            codec.encode(itself)


def test_records_with_masked_values_are_an_encode_error():
    records = np.ma.array([(1, 2.5)], dtype=[("a", int), ("b", float)], mask=[(True, False)])
    for codec in (json, csv, npy):
        with pytest.raises(EncodeError):
            codec.encode(records)
    assert json.encode(np.ma.array(records.data)) == b"[[1,2.5]]"


def test_a_masked_array_without_masked_values_is_written_like_any_other():
    unmasked = np.ma.array([1, 2])
    assert json.encode(unmasked) == b"[1,2]"
    assert npy.encode(unmasked) == npy.encode(np.array([1, 2]))
