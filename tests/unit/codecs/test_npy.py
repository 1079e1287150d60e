from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import npy
from sagemaker_inference.errors import DecodeError, EncodeError, UnsupportedMediaTypeError

DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?")
    | hnp.complex_number_dtypes(endianness="?")
    | hnp.datetime64_dtypes(endianness="?")
    | hnp.timedelta64_dtypes(endianness="?")
    | hnp.byte_string_dtypes(min_len=1)
    | hnp.unicode_string_dtypes(min_len=1)
)


def saved(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(text, data=b"", version=b"\x01\x00"):
    header = text.encode()
    length = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + header + data


def described(descr="'<f8'", shape="(1,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def same(array, expected):
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()


@given(DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))))
def test_arrays_of_every_dtype_survive_a_round_trip(array):
    body = npy.encode(array)
    assert body == saved(array)
    same(npy.decode(body), array)


@given(hnp.arrays(st.sampled_from(["f8", "i4"]), hnp.array_shapes(min_dims=2)))
def test_memory_order_survives_a_round_trip(array):
    fortran = np.asfortranarray(array)
    assert npy.encode(fortran) == saved(fortran)
    decoded = npy.decode(saved(fortran))
    same(decoded, fortran)
    assert decoded.flags.f_contiguous


def test_slices_are_written_without_gaps():
    array = np.arange(20.0).reshape(4, 5)[::2, ::2]
    assert npy.encode(array) == saved(array)


def test_structured_dtypes_survive_a_round_trip():
    for dtype in (
        [("a", "<i4"), ("b", "<f8")],
        [("a", "<i4"), ("b", "<f8", (2, 3))],
        [("name", "<U5"), ("when", "<M8[s]")],
        [("a", [("b", "<i4"), ("c", [("d", "<U2", (2,))], (2, 3))]), ("e", "<f8")],
        [("it's", "<i4"), ('it\'s "so"', "<i4"), ('"', "<i4"), ("\\", "<i4"), ("é\n\0", "<i4")],
        [(("a title's", "name"), "<i4")],
        np.dtype([("a", "i1"), ("b", "<f8"), ("c", "i1")], align=True),
        {"names": ["a"], "formats": ["<U1"], "offsets": [3], "itemsize": 9},
    ):
        array = np.zeros(3, dtype)
        loaded = np.load(io.BytesIO(saved(array)))
        assert npy.decode(saved(array)).dtype.fields == loaded.dtype.fields
        same(npy.decode(saved(array)), array)
        assert npy.encode(array) == saved(array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(3.0), version)
    same(npy.decode(buffer.getvalue()), np.arange(3.0))


def test_the_array_shares_memory_with_the_body():
    body = bytearray(npy.encode(np.zeros(3)))
    decoded = npy.decode(body)
    decoded[0] = 7
    assert npy.decode(bytes(body))[0] == 7
    same(npy.decode(memoryview(body)), np.array([7.0, 0, 0]))


@pytest.mark.parametrize("kind", [bytes, memoryview, bytearray])
@pytest.mark.parametrize("rows", [2, 20_000])
def test_an_array_can_be_changed_in_place_whatever_the_body(kind, rows):
    body = npy.encode(np.asfortranarray(np.zeros((rows, 3))))
    decoded = npy.decode(kind(body))
    decoded += 1
    assert decoded.flags.f_contiguous
    assert npy.encode(np.asfortranarray(np.zeros((rows, 3)))) == body
    assert decoded.sum() == rows * 3


def test_shapes_of_long_integers_from_python_2_are_read():
    same(npy.decode(with_header(described(shape="(2L,)"), bytes(16))), np.zeros(2))


@pytest.mark.parametrize("size", range(0, 136, 3))
def test_a_body_cut_off_anywhere_is_refused(size):
    body = npy.encode(np.arange(1.0))
    assert len(body) == 136
    with pytest.raises(DecodeError, match="Invalid NPY"):
        npy.decode(body[:size])


MANY_FIELDS = ", ".join(f"('{name}', '<i8', (999999,))" for name in range(300))


@pytest.mark.parametrize(
    "body",
    [
        b"PK\x03\x04 and so on",
        b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
        b"\x93NUMPY\x02\x00\x10\x00\x00",
        npy.encode(np.arange(3)) + b"x",
        with_header(described(shape="(1099511627776, 1099511627776)")),
        with_header(described(shape="(0, 1099511627776)")),
        with_header(described("'<U0'", "(1099511627776,)")),
        with_header(described(shape="(9999999999999999999,)")),
        with_header(described(shape="(-1,)")),
        with_header(described(shape="1")),
        with_header(described("'<f9'"), bytes(9)),
        with_header(described("'<i8'") + "__import__('os')", bytes(8)),
        with_header("{'descr': __import__('os').system('false')}"),
        with_header(described("[('a', '<i8', (9999999, 9999999))]")),
        with_header(described("[('a', '<i8'), ('a', '<i8')]"), bytes(16)),
        with_header(described("[('a', [('b', '<i8')])"), bytes(8)),
        with_header(described("[('a', '<i8')]]"), bytes(8)),
        with_header(described("[('a', [])]"), bytes(8)),
        with_header(described("[('a\0', '<i8')]"), bytes(8)),
        with_header(described("[('a\\q', '<i8')]"), bytes(8)),
        with_header(described("[(__import__('os'), '<i8')]"), bytes(8)),
        with_header(described("[('a', '<i8'" + ", (2,)" * 2 + ")]"), bytes(32)),
        with_header(described("[('a', " * 33 + "'<i8'" + ")]" * 33), bytes(8)),
        with_header(described("[('a', " * 1000 + "'<i8'" + ")]" * 1000), bytes(8)),
        with_header(described("[('a', [('b', '<i8', (999999,))], (999999,))]", "(0,)")),
        with_header(described(f"[{MANY_FIELDS}]", "(0,)")),
        with_header(described(f"[('{'a' * 999}', '<i8'), ('{'a' * 999}', '<i8')]"), bytes(16)),
        with_header(described("'<m8[xyz]'"), bytes(8)),
        with_header(described("'<m8[D]'", f"({','.join(['1'] * 70)})"), bytes(8)),
        with_header(" " * 20_000, version=b"\x02\x00"),
        with_header(
            "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), version=b"\x03\x00"
        ),
        b"\x93NUMPY\x03\x00\x02\x00\x00\x00\xff\xff",
        with_header("(" * 3000),
        with_header("\x93" * 300),
    ],
)
def test_impossible_arrays_are_refused_before_memory_is_allocated(body):
    with pytest.raises(DecodeError, match="Invalid NPY") as caught:
        npy.decode(body)
    assert len(caught.value.message) <= 300


def test_python_objects_are_refused_with_415(monkeypatch):
    monkeypatch.delenv("SAGEMAKER_ALLOW_PICKLE", raising=False)
    nested = np.zeros(1, [("a", [("b", "O")])])
    for array in (np.array([{}], object), np.zeros(1, [("a", "O")]), nested):
        with pytest.raises(UnsupportedMediaTypeError, match="pickles"):
            npy.decode(saved(array, allow_pickle=True))


@pytest.mark.parametrize("on", ["true", "True", "1", "yes"])
def test_the_environment_may_allow_pickles(on, monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_ALLOW_PICKLE", on)
    body = saved(np.array([{"a": 1}], object), allow_pickle=True)
    with caplog.at_level(logging.WARNING):
        assert npy.decode(body)[0] == {"a": 1}
    assert "SAGEMAKER_ALLOW_PICKLE" in caplog.text
    with pytest.raises(DecodeError, match="pickled"):
        npy.decode(body[:-9])


@pytest.mark.parametrize("value", [{"a": 1}, [[1], [2, 3]], object(), [None]])
def test_python_objects_are_not_written(value):
    with pytest.raises(EncodeError, match="cannot be written as NPY"):
        npy.encode(value)


@pytest.mark.parametrize(
    "dtype",
    [
        [("日", "<i4")],
        [("x" * 10_000, "<i4")],
        [("x" * 70_000, "<i4")],
        [],
        np.dtype([("a", "<i4"), ("b", "<i4")])[["b", "a"]],
    ],
)
def test_fields_that_decode_refuses_are_not_written(dtype):
    with pytest.raises(EncodeError, match="use few and short names") as caught:
        npy.encode(np.zeros(1, dtype))
    assert len(caught.value.message) <= 300


@pytest.mark.parametrize("value", [3, 1.5, [1, 2], [[1.5], [2]], {1, 2}, iter([1, 2]), "text"])
def test_values_that_can_be_an_array_are_written(value):
    body = npy.encode(value)
    assert npy.decode(body).size > 0


@pytest.mark.parametrize("dtype", ["<U2", ">U2", [("a", "<i8"), ("b", [("c", ">U2", (2,))])]])
def test_text_beyond_unicode_is_refused(dtype):
    array = np.zeros((2, 3), dtype)
    sound = npy.encode(array)
    assert npy.decode(sound).dtype == array.dtype
    start = len(sound) - array.nbytes
    with pytest.raises(DecodeError, match="Unicode"):
        npy.decode(sound[:start] + b"\xff" * array.nbytes)
    for empty in (np.zeros(0, "<U2"), np.zeros(2, "<U0")):
        assert npy.decode(npy.encode(empty)).shape == empty.shape
