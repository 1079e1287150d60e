from __future__ import annotations

import json as standard
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sagemaker_inference.codecs import _numbers, json
from sagemaker_inference.errors import (
    DecodeError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

fixtures_stay = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

AWKWARD = [
    5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 0.1, 1 / 3, 1e22, 1e23,
    9007199254740993.0, 123456789012345678.0, 0.30000000000000004, 1e-400, -1e-7, 2.5e-310,
    6.02214076e23, 8.41e21, 9.5e-3, 1e16, 4.35, 7.2057594037927933e16,
]  # fmt: skip


def same(array, expected):
    """The same dtype, shape and bits."""
    assert isinstance(array, np.ndarray)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[[1.5, 2], [3, 4]]", np.array([[1.5, 2.0], [3.0, 4.0]])),
        (b"[1, 2, 3]", np.array([1, 2, 3])),
        (b" \n[1,\t2\r\n] ", np.array([1, 2])),
        (b"[[[1, 2]], [[3, 4]], [[5, 6]]]", np.array([[[1, 2]], [[3, 4]], [[5, 6]]])),
        (b"[[1], [2], [3]]", np.array([[1], [2], [3]])),
        (b"[7]", np.array([7])),
        (b"[[[[7.5]]]]", np.array([[[[7.5]]]])),
        (b"[true, false]", np.array([True, False])),
        (b"[true, 2]", np.array([1, 2])),
        (b"[1.5, null]", np.array([1.5, math.nan])),
        (b"[[1, null], [2, 3]]", np.array([[1, math.nan], [2, 3]])),
        (b"[]", np.array([])),
        (b"[[], []]", np.empty((2, 0))),
        (b"[9223372036854775807]", np.array([2**63 - 1])),
        (b"[9223372036854775808, 1]", np.array([2**63, 1], np.uint64)),
        (b"[18446744073709551615]", np.array([2**64 - 1], np.uint64)),
        (b"[1.5, 18446744073709551616]", np.array([1.5, 2.0**64])),
        (b"[1.5, 9223372036854775808]", np.array([1.5, 2.0**63])),
        (b"[-0, 1.5]", np.array([0, 1.5])),
        (b"[1e400, -1e400]", np.array([math.inf, -math.inf])),
        (b"[NaN, Infinity, -Infinity]", np.array([math.nan, math.inf, -math.inf])),
        (b"[1E5, 2e-3]", np.array([1e5, 2e-3])),
        (b"\xef\xbb\xbf[1]", np.array([1])),
        (b'{"instances": [[1, 2]]}', np.array([[1, 2]])),
        (b' { "instances" : [1.5] } ', np.array([1.5])),
        (b'{"inst\\u0061nces": [1.5]}', np.array([1.5])),
        (b'{"instances": [1, null]}', np.array([1, math.nan])),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_numbers_become_an_array(backend, small, kind, body, expected):
    same(json.decode(kind(body)), expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, 2]}', {"a": [1, 2]}),
        (b'{"instances": [[1]], "b": 3}', {"instances": [[1]], "b": 3}),
        (b'{"instances": ["a"]}', ["a"]),
        (b'{"instances": 5}', 5),
        (b'["a", 1]', ["a", 1]),
        (b'[{"a": 1}]', [{"a": 1}]),
        (b"[{}]", [{}]),
        (b"[1, {}]", [1, {}]),
        (b"[null, null]", [None, None]),
        (b"[[1], [2, 3]]", [[1], [2, 3]]),
        (b"[[1, 2], 3, [4]]", [[1, 2], 3, [4]]),
        (b"[1, [2]]", [1, [2]]),
        (b"[[1, 2], 3, [[4], 5, 6]]", [[1, 2], 3, [[4], 5, 6]]),
        (b"[[1, [2]], [3, 4]]", [[1, [2]], [3, 4]]),
        (b"[[1, null], [2]]", [[1, None], [2]]),
        (b"[[], [1]]", [[], [1]]),
        (b"[[1], []]", [[1], []]),
        (b"[18446744073709551616]", [2**64]),
        (b"[9223372036854775808, -1]", [2**63, -1]),
        (b'{"a": 18446744073709551616}', {"a": 2**64}),
        (b"18446744073709551616", 2**64),
        (b"1.5", 1.5),
        (b"3", 3),
        (b"true", True),
        (b"null", None),
        (b'"text"', "text"),
        (b'"\\ud800"', "\ud800"),
    ],
)
def test_other_values_become_python_objects(backend, small, body, expected):
    decoded = json.decode(body)
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[1,", "line 1 column 4"),
        (b"[1,]", "line 1 column"),
        (b"[1 2]", "line 1 column 4"),
        (b"[1]x", "line 1 column 4"),
        (b"[1],[2]", "line 1 column 4"),
        (b"[01]", "line 1"),
        (b"[1.]", "line 1"),
        (b"[+1]", "line 1"),
        (b'{"a": 1', "line 1"),
        (b'{\n"a": x}', "line 2 column 6"),
        (b"\xff", "byte 0"),
        (b'["\xff"]', "byte 2"),
        (b"[1, 2]\x00", "line 1"),
        (b"[" * 5000, "1024 levels"),
        (b"[" * 5000 + b"]" * 5000, "1024 levels"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "1024 levels"),
        (b"[" + b"9" * 5000 + b"]", "digits"),
    ],
)
def test_the_refusal_of_a_malformed_text_has_the_position(backend, small, body, words):
    with pytest.raises(DecodeError, match=words) as caught:
        json.decode(body)
    assert len(caught.value.message) <= 300


def test_many_brackets_side_by_side_are_not_deep_nesting(backend):
    body = b'[NaN, "[\\"[[[[", ' + b",".join([b"[[1]]"] * 2000) + b"]"
    assert len(json.decode(body)) == 2002


def test_nesting_under_the_limit_is_read():
    decoded = json.decode(b"[" * 100 + b"1" + b"]" * 100)
    for _ in range(100):
        (decoded,) = decoded
    assert decoded == 1


def test_a_recursion_error_of_the_slow_parser_is_a_decode_error(monkeypatch):
    def deep(_text):
        raise RecursionError

    monkeypatch.setattr(standard, "loads", deep)
    with pytest.raises(DecodeError, match="nested too deeply"):
        json.loads(b"[NaN]")


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "latin-1", '"UTF-8"', "us-ascii"])
def test_the_charset_of_the_header_is_decoded(charset):
    text = '{"name": "é"}' if "ascii" not in charset else '{"name": "e"}'
    body = text.encode(charset.strip('"'))
    assert json.decode(body, f"application/json; charset={charset}") == standard.loads(text)


def test_an_unknown_charset_is_refused_with_415():
    for charset in ("klingon", "rot13", "\0", "punycode", "idna", "utf-7", "unicode_escape"):
        with pytest.raises(UnsupportedMediaTypeError, match="UTF-8"):
            json.decode(b"[1]", f"application/json; charset={charset}")


def test_a_body_in_another_charset_is_refused():
    with pytest.raises(DecodeError, match="utf-16 at byte"):
        json.decode(b"[1]", "application/json; charset=utf-16")


def test_str_is_accepted_like_bytes():
    same(json.decode("[1, 2]"), np.array([1, 2]))
    with pytest.raises(DecodeError, match="surrogate at character 1"):
        json.decode('"\ud800"')


def test_dtype_converts_any_value_to_an_array():
    same(json.decode(b"[1, 2]", dtype=np.float32), np.array([1, 2], np.float32))
    same(json.decode(b"[1, 2]", dtype="int64"), np.array([1, 2]))
    same(json.decode(b"1", dtype="int64"), np.array(1))
    with pytest.raises(DecodeError, match="float64"):
        json.decode(b'["a"]', dtype=float)


def test_arrays_are_writable(backend, small):
    decoded = json.decode(b"[[1.5, 2], [3, 4]]")
    decoded += 1
    same(decoded, np.array([[2.5, 3.0], [4.0, 5.0]]))


@pytest.mark.parametrize("number", AWKWARD)
def test_awkward_numbers_are_read_like_float(backend, small, number):
    for text in (repr(number), f"{number:.17g}", f"{number:.25e}"):
        # "-0" is the integer zero in JSON.
        expected = np.array([standard.loads(text), 0.5])
        same(json.decode(f"[{text}, 0.5]".encode()), expected)


@fixtures_stay
@given(st.lists(st.floats(width=64), min_size=1), st.data())
def test_floats_are_read_bit_for_bit(backend, small, numbers, data):
    digits = data.draw(st.sampled_from(["r", ".17g", ".16e", ".20e"]))
    texts = [repr(x) if digits == "r" else format(x, digits) for x in numbers if math.isfinite(x)]
    body = ("[" + ",".join([*texts, "0.5"]) + "]").encode()
    same(json.decode(body), np.array([*map(standard.loads, texts), 0.5]))


values = st.recursive(
    st.integers(-(2**65), 2**65) | st.floats() | st.booleans() | st.none() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)
numeric = st.recursive(
    st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | st.none(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


@fixtures_stay
@given(values | numeric)
@example([[1, 2], [3, [4]]])
@example([[], [[]]])
def test_both_backends_and_all_shortcuts_agree(tiny_pieces, backend, value):
    body = standard.dumps(value).encode()
    in_pieces = json.decode(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_numbers, "_PIECE", 1 << 18)
        at_once = json.decode(body)
        patch.setattr(_numbers, "SMALL", 1024)
        short = json.decode(body)
        patch.setattr(_numbers, "nested", lambda _text, **_options: None)
        slow = json.decode(body)
    for other in (at_once, short, slow):
        assert type(other) is type(in_pieces)
        if isinstance(other, np.ndarray):
            same(other, in_pieces)
        else:
            assert repr(other) == repr(in_pieces)


@pytest.mark.parametrize(
    "body",
    [
        b"[1.5,2.5,3.5,4.5,5.5]",
        b"[1,2,3,4,5,6,7,8,9,10,2.5,3,4]",
        b"[[1,2,3,4],[5,6,7,8],[9,10,11,12]]",
        b"[[[1],[2]],[[3],[4]],[[5],[6.5]]]",
        b"[[1,2,3,4] , [5,6,7,8]]",
    ],
)
def test_long_texts_are_read_in_pieces(tiny_pieces, backend, body):
    same(json.decode(body), np.array(standard.loads(body)))


@pytest.mark.parametrize(
    "body",
    [
        b"[1,2,3,4,5,6,7,8,]",
        b"[1,2,3,4,],[5,6,7,8]",
        b"[1,2,3,4],[5,6,7,8]",
        b"[[1,2,3,4],[5,6,7,8]",
        b"[1,2,3,,,,,,4,5,6,7]",
        b"[1,2,3,4]]],[[[5,6,7,8]",
        b"[11111111,]",
        b"[111111,22222,\n]",
        b"11111111,2",
        b"[" * 40 + b"1,2,3,4,5,6,7,8",
        b"[[1,2,3,4],[5,6,7,8]]]",
    ],
)
def test_malformed_texts_in_pieces_are_refused(tiny_pieces, backend, body):
    with pytest.raises(DecodeError):
        json.decode(body)


def test_ragged_lists_in_pieces_are_lists(tiny_pieces, backend):
    for body in (b"[[1,2,3,4],[5,6,7]]", b"[[1,2,3,4],[5,6,7,[8]]]", b"[[1,2,3,4],[],[5,6,7,8]]"):
        assert json.decode(body) == standard.loads(body)


def test_nesting_beyond_numpys_limit_is_read(tiny_pieces, backend):
    body = b"[" * 33 + b"1,2,3,4,5,6,7" + b"]" * 33
    assert isinstance(json.decode(body), (list, np.ndarray))


def test_to_array_reads_null_alike_in_long_and_short_texts(tiny_pieces):
    decoded = json.to_array(b"[1.5, null, 2]")
    assert (decoded.dtype, decoded.tolist()) == (np.dtype(object), [1.5, None, 2])


def test_a_text_among_many_numbers_is_refused_by_to_array():
    with pytest.raises(PayloadTooLargeError, match="JSON body of"):
        json.to_array(b"[" + b"1," * 1_000_000 + b'"b"]')
    same(json.to_array(b'[1, "b"]'), np.array([1, "b"]))


def test_the_refusal_of_a_long_text_has_the_position():
    body = b"[1.5,\n" + b"1.5," * 300_000
    with pytest.raises(DecodeError, match=r"Invalid JSON: .* at line 2 column 1200"):
        json.decode(body)
    assert np.isnan(json.decode(body + b"NaN]")[-1])
    with pytest.raises(DecodeError, match=f"not UTF-8 at byte {len(body)}"):
        json.decode(body + b"\xff")


@pytest.mark.parametrize("dtype", ["u1", int])
def test_numbers_that_do_not_fit_a_dtype_are_refused(dtype):
    with pytest.raises(DecodeError, match="cannot become an array of"):
        json.decode(b"[300.5]", dtype=dtype)
    assert json.decode(b"[3.0]", dtype=dtype).tolist() == [3]


def test_to_array_is_np_array_of_the_value():
    same(json.to_array(" [1, 2] "), np.array([1, 2]))
    same(json.to_array(b"3"), np.array(3))
    same(json.to_array(b'["a", "bc"]'), np.array(["a", "bc"]))
    assert json.to_array(b'{"instances": [1]}').item() == {"instances": [1]}
    assert json.to_array(b"[1, null]").tolist() == [1, None]
    with pytest.raises(DecodeError, match="cannot become an array"):
        json.to_array(b"[[1], [2, 3]]")


def test_texts_of_very_different_lengths_are_refused_by_to_array():
    body = standard.dumps(["x" * 100_000, *["y"] * 100_000])
    with pytest.raises(PayloadTooLargeError):
        json.to_array(body)
    assert len(json.decode(body)) == 100_001


@pytest.mark.parametrize(
    "body",
    [
        b"[[1.5, null], [null, null], [3, 4]]",
        b"[1, 2, 3, 4, 5, 6, null, 8, 9, 10]",
        b"[[[null, 1]], [[2, 3.25]], [[4, 5]]]",
        b"[null, null, null, null, null]",
        b"[[null, null], [null, null]]",
        b"[null, true, 1, 2.5, 3]",
        b"[[1, null], [2], [null, 4, 5]]",
        b"[null, [1, 2], 3, 4, 5]",
        b"[null, nul, 1, 2, 3, 4]",
        b"[null, 18446744073709551616, 1, 2, 3]",
        b"[9007199254740993, 1, 2, 3, null]",
    ],
)
def test_nulls_are_read_alike_in_long_and_short_texts(tiny_pieces, backend, body):
    def result():
        try:
            return json.decode(body)
        except DecodeError as error:
            return error.message

    in_pieces = result()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_numbers, "nested", lambda _text, **_options: None)
        at_once = result()
    assert type(in_pieces) is type(at_once)
    if isinstance(at_once, np.ndarray):
        same(in_pieces, at_once)
    else:
        assert in_pieces == at_once


def test_long_texts_with_nulls_are_read_without_an_object_per_number(tiny_pieces, monkeypatch):
    monkeypatch.setattr(json, "loads", None)
    decoded = json.decode(b"[[1.5, 2], [3, null], [5, 6]]")
    np.testing.assert_array_equal(decoded, [[1.5, 2], [3, np.nan], [5, 6]])
