"""Annotations that ask for arrays."""

from __future__ import annotations

import io
import json
import sys
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.sparse
from PIL import Image
from support.annotated import (
    CSV,
    Flower,
    Struct,
    asked,
    converted,
    served,
)

from sagemaker_inference._inference.annotations import arrays
from sagemaker_inference.codecs import npy
from sagemaker_inference.errors import (
    PayloadTooLargeError,
    UnprocessableInputError,
)


@pytest.mark.parametrize("hint", [dict[str, float], list[float] | dict, Struct, Flower])
def test_arrays_are_no_objects(hint):
    with pytest.raises(UnprocessableInputError):
        converted(hint, b"1,2", CSV)


def test_every_abstract_sparse_class_is_given():
    for kind in (scipy.sparse.sparray, scipy.sparse.spmatrix, scipy.sparse.coo_array):
        assert isinstance(converted(kind, b"[[1, 0], [0, 2]]"), kind)


def test_arrays_are_of_numbers():
    assert converted(np.ndarray, b"[[1, 2], [3, 4]]").tolist() == [[1, 2], [3, 4]]
    assert converted(npt.NDArray[np.float64], b"1.5,2.5\n", CSV).tolist() == [[1.5, 2.5]]
    assert converted(np.ndarray, b"true").tolist() is True


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1}', "the body is of type dict"),
        (b"[[1, 2], [3]]", "row 2 has a different length"),
        (b'[[1, 2], [3, "x"]]', "row 2, column 2, not str 'x'"),
        (b'[1, "x"]', "row 2, column 1, not str 'x'"),
        (b"[[[1], [1, 2]]]", "nested unevenly"),
        (b'"text"', "the body is of type str"),
    ],
)
def test_what_is_not_an_array_is_refused_with_row_and_column(body, words):
    with pytest.raises(UnprocessableInputError, match=words.replace("(", r"\(")):
        converted(np.ndarray, body)


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


class dtype(str):  # noqa: N801 - as in torch
    """In place of torch.float16 and its like, in a process without torch."""

    __slots__ = ()


class device(str):  # noqa: N801 - as in torch
    """In place of torch.device."""

    __slots__ = ()


class Layout:
    """In place of what else torch has, such as torch.strided."""


class Tensor:
    def __init__(self, array: np.ndarray, at: str = "cpu") -> None:
        self.array = array
        self.at = at

    def to(self, other: str) -> Tensor:
        if isinstance(other, device):
            return Tensor(self.array, other)
        return Tensor(self.array.astype(other), self.at)


class Torch:
    @staticmethod
    def get_default_dtype() -> str:
        return "float32"

    @staticmethod
    def from_numpy(array: np.ndarray) -> Tensor:
        assert array.flags.writeable
        assert array.dtype.isnative
        if array.dtype == np.longdouble:
            message = "can't convert np.ndarray of type numpy.longdouble"
            raise TypeError(message)
        return Tensor(array)


def png(image):
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_an_image_is_one_of_pillow(mode):
    image = Image.new(mode, (4, 2), 1)
    got = converted(Image.Image, png(image), "image/png")
    assert (got.mode, got.size, got.tobytes()) == (mode, (4, 2), image.tobytes())


def test_pixels_of_any_format_are_an_image():
    pixels = np.zeros((2, 4, 3), np.uint8)
    assert converted(Image.Image, npy.encode(pixels), "application/x-npy").size == (4, 2)
    assert converted(Image.Image | None, b"null") is None


@pytest.mark.parametrize("body", [b"[[1.5]]", b"[[[[1]]]]"])
def test_what_is_no_image_is_refused(body):
    said = r"Expected an image, but the body is an array of shape .*; send JPEG, PNG or WebP\."
    with pytest.raises(UnprocessableInputError, match=said):
        converted(Image.Image, npy.encode(np.array(json.loads(body), "c16")), "application/x-npy")


@pytest.fixture
def _torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch)
    for kind in (Tensor, dtype, device, Layout):
        monkeypatch.setattr(kind, "__module__", "torch")


@pytest.mark.usefixtures("_torch")
def test_tensors_are_made_where_torch_is():
    assert converted(Tensor, b"[[1, 2]]").array.tolist() == [[1, 2]]
    assert converted(Tensor, b"[18446744073709551615]").array.dtype.char == np.dtype("uint64").char
    for body, kind, name in (
        (b"[[1.5, null]]", "application/json", "float32"),
        (b"[null]", "application/json", "float32"),
        (b"[1.5]\n[2]\n", "application/jsonlines", "float32"),
        (b"1.5,2\n", "text/csv", "float32"),
        (b"0 1:1.5\n", "text/x-libsvm", "float32"),
        (b"[[1, 2]]", "application/json", "int64"),
        (b"1,2\n", "text/csv", "int64"),
        (npy.encode(np.ones(1)), "application/x-npy", "float64"),
        (npy.encode(np.ones(1, "f2")), "application/x-npy", "float16"),
    ):
        assert converted(Tensor, body, kind).array.dtype == name
    swapped = npy.encode(np.array([1.5], ">f4"))
    assert converted(Tensor, swapped, "application/x-npy").array.tolist() == [1.5]
    with pytest.raises(UnprocessableInputError, match="torch does not support dtype"):
        converted(Tensor, npy.encode(np.ones(1, np.longdouble)), "application/x-npy")


@pytest.mark.usefixtures("_torch")
def test_tensors_have_the_dtype_and_the_device_that_are_annotated():
    for hint in (Annotated[Tensor, dtype("float16")], Annotated[Tensor, dtype("float16")] | None):
        assert converted(hint, b"[1.5]").array.dtype == "float16"
    for constraint in ("in metres", Layout(), device("cuda")):
        assert converted(Annotated[Tensor, constraint], b"[1.5]").array.dtype == "float32"
    there = converted(Annotated[Tensor, device("cuda"), dtype("float16")], b"[1.5]")
    assert (there.at, there.array.dtype) == ("cuda", "float16")


def test_stacked_inputs_are_each_what_the_whole_is_annotated_with():
    handler = served(np.ndarray, max_batch_size=4, collate="concatenate")
    assert asked(handler, b'["x"]').status == 422


def test_missing_numbers_are_nan():
    assert arrays.as_numbers([None]).dtype == arrays.as_numbers([1.5]).dtype == np.float64
    assert np.isnan(arrays.as_numbers([[None, 1]])[0, 0])
    with pytest.raises(UnprocessableInputError):
        arrays.as_numbers([None, "1"])
