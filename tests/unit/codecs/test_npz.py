from __future__ import annotations

import io
import struct
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import npy, npz
from sagemaker_inference.errors import (
    DecodeError,
    EncodeError,
    InferenceError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

MATRIX = np.array([[0, 1.5, 0, 0], [2, 0, 0, 3], [0, 0, 0, 0]])


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", npy.encode(np.asarray(data)))
    return buffer.getvalue()


@given(
    st.dictionaries(
        st.from_regex("[a-z]{1,8}", fullmatch=True),
        hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_side=3)),
    )
)
def test_archives_survive_a_round_trip(arrays):
    if "format" in arrays and "shape" in arrays:
        return
    decoded = npz.decode(npz.encode(arrays))
    assert list(decoded) == list(arrays)
    for name, array in arrays.items():
        assert decoded[name].dtype == array.dtype
        assert decoded[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_numpy_are_read(save):
    buffer = io.BytesIO()
    save(buffer, np.arange(3), b=np.eye(2))
    for kind in (bytes, bytearray, memoryview):
        decoded = npz.decode(kind(buffer.getvalue()))
        assert list(decoded) == ["b", "arr_0"] or list(decoded) == ["arr_0", "b"]
        np.testing.assert_array_equal(decoded["b"], np.eye(2))


def test_archives_are_read_by_numpy():
    with np.load(io.BytesIO(npz.encode([1, 2]))) as archive:
        np.testing.assert_array_equal(archive["arr_0"], [1, 2])


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("flavour", ["matrix", "array"])
def test_sparse_matrices_of_scipy_are_read_and_written(kind, flavour):
    matrix = getattr(scipy.sparse, f"{kind}_{flavour}")(MATRIX)
    buffer = io.BytesIO()
    scipy.sparse.save_npz(buffer, matrix)
    for body in (buffer.getvalue(), npz.encode(matrix)):
        decoded = npz.decode(body)
        assert type(decoded) is type(matrix)
        np.testing.assert_array_equal(decoded.toarray(), MATRIX)
        again = scipy.sparse.load_npz(io.BytesIO(body))
        assert type(again) is type(matrix)


def test_a_sparse_matrix_of_another_format_is_written_dense():
    decoded = npz.decode(npz.encode(scipy.sparse.lil_matrix(MATRIX)))
    np.testing.assert_array_equal(decoded["arr_0"], MATRIX)


SOUND = {
    "format": b"csr",
    "shape": (2, 3),
    "data": np.array([1.0, 2.0]),
    "indices": np.array([0, 2]),
    "indptr": np.array([0, 1, 2]),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"indices": np.array([0, 99])},
        {"indices": np.array([0, -1])},
        {"indices": np.array([0.5, 1.5])},
        {"indices": np.array([[0], [1]])},
        {"indptr": np.array([0, 50, 2])},
        {"indptr": np.array([0])},
        {"shape": (2, 3, 4)},
        {"shape": (2**40, 3)},
        {"shape": (-2, 3)},
        {"shape": 2},
        {"format": b"xyz"},
        {"format": np.array("coo")},
        {"format": np.arange(2)},
        {"format": np.array(3)},
        {"data": np.array(["a", "b"])},
        {"data": np.zeros(2, "M8[s]")},
    ],
)
def test_an_inconsistent_sparse_matrix_is_refused(wrong):
    assert npz.decode(zipped(**SOUND)).toarray().tolist() == [[1, 0, 0], [0, 0, 2]]
    with pytest.raises(DecodeError, match="Invalid NPZ") as caught:
        npz.decode(zipped(**{**SOUND, **wrong}))
    assert len(caught.value.message) <= 300


def test_a_format_may_be_text():
    assert npz.decode(zipped(**{**SOUND, "format": np.array("csr")})).shape == (2, 3)


def test_indices_of_coo_are_within_its_shape():
    coo = {"format": b"coo", "shape": (2, 2), "data": [1.0], "row": [5], "col": [0]}
    with pytest.raises(DecodeError):
        npz.decode(zipped(**coo))


def test_sparse_bodies_need_scipy(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(UnsupportedMediaTypeError, match="not supported here"):
        npz.decode(zipped(**SOUND))
    assert "sagemaker-inference[scipy]" in caplog.text


def test_python_objects_are_refused_with_415(monkeypatch):
    monkeypatch.delenv("SAGEMAKER_ALLOW_PICKLE", raising=False)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], object))
    with pytest.raises(UnsupportedMediaTypeError):
        npz.decode(buffer.getvalue())
    with pytest.raises(EncodeError):
        npz.encode({"a": [{}]})


def test_a_zip_bomb_is_refused_before_it_unpacks():
    body = zipped(a=np.zeros(100_000_000, np.uint8))
    assert len(body) < 1_000_000
    with pytest.raises(PayloadTooLargeError, match="unpacks to"):
        npz.decode(body)


def test_a_member_is_unpacked_no_further_than_its_stated_size():
    body = bytearray(zipped(a=np.zeros(1_000_000, np.uint8)))
    position = body.index(b"PK\x01\x02") + 24
    body[position : position + 4] = struct.pack("<I", 100)
    with pytest.raises(DecodeError):
        npz.decode(body)


def test_a_body_cut_off_anywhere_is_refused():
    body = zipped(a=np.arange(5.0), b=np.eye(2))
    for size in range(len(body)):
        with pytest.raises(DecodeError):
            npz.decode(body[:size])


def test_a_changed_byte_gives_an_array_or_a_refusal():
    body = npz.encode(scipy.sparse.csr_matrix(MATRIX))
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 0x41
        try:
            npz.decode(changed)
        except InferenceError as error:
            assert error.status_code in {400, 413, 415}  # noqa: PT017


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_stored_or_deflated(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.npy", npy.encode(np.zeros(3)))
    with pytest.raises(DecodeError, match="stored or deflated"):
        npz.decode(buffer.getvalue())


@pytest.mark.parametrize("name", ["x" * 70_000, "\ud800"])
def test_a_name_that_a_zip_cannot_store_is_an_encode_error(name):
    with pytest.raises(EncodeError, match="names") as caught:
        npz.encode({name: np.zeros(1)})
    assert len(caught.value.message) <= 300


def test_a_sparse_array_of_one_dimension_is_written_dense():
    decoded = npz.decode(npz.encode(scipy.sparse.coo_array(np.array([1.0, 0, 2]))))
    assert decoded["arr_0"].tolist() == [1, 0, 2]
