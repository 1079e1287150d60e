from __future__ import annotations

from urllib.parse import quote_plus

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference import codecs
from sagemaker_inference.codecs import form
from sagemaker_inference.errors import DecodeError, UnsupportedMediaTypeError

TYPE = "multipart/form-data; boundary=X"


def part(data, disposition='form-data; name="a"', *headers):
    lines = [f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


def multipart(*parts):
    return b"--X\r\n" + b"\r\n--X\r\n".join(parts) + b"\r\n--X--\r\n"


def test_a_part_is_read_by_its_own_content_type():
    body = multipart(
        part(b"text"),
        part(b"1,2\r\n3,4", 'form-data; name="table"; filename="t.csv"', "Content-Type: text/csv"),
        part(b"\xff", 'form-data; name="raw"; filename="raw"'),
        part(b"\xff", 'form-data; name="odd"'),
        part(b"?", 'form-data; name="other"', "content-type: application/x-unknown"),
        part(b"--Y--", 'form-data; name="inner"', "Content-Type: multipart/form-data; boundary=Y"),
        part(b"", 'form-data; name="empty"'),
    )
    for kind in (bytes, bytearray, memoryview):
        decoded = form.decode(kind(body), TYPE)
        np.testing.assert_array_equal(decoded.pop("table"), [[1, 2], [3, 4]])
        assert decoded == {
            "a": "text", "raw": b"\xff", "odd": b"\xff", "other": b"?", "inner": b"--Y--",
            "empty": "",
        }  # fmt: skip


def test_a_preamble_an_epilogue_and_bare_line_feeds_are_allowed():
    body = b'hello\n--X\nContent-Disposition: form-data; name="a"\n\none\ntwo\n--X--\nbye'
    assert form.decode(body, TYPE) == {"a": "one\ntwo"}
    assert form.decode(body.decode(), 'multipart/form-data; boundary="X"') == {"a": "one\ntwo"}


def test_the_value_of_a_repeated_name_is_a_list():
    assert form.decode(multipart(part(b"1"), part(b"2")), TYPE) == {"a": ["1", "2"]}


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", TYPE, "cut off"),
        (multipart(part(b"a"))[:-6], TYPE, "cut off"),
        (multipart(part(b"a")), "multipart/form-data", "no boundary"),
        (multipart(part(b"a")), "multipart/form-data; boundary=" + "X" * 300, "no boundary"),
        (b"--X\r\nContent-Disposition: form-data\r\n--X--", TYPE, "part 1 has no blank line"),
        (multipart(part(b"a", "form-data")), TYPE, "part 1 has no name"),
        (multipart(*[b""] * 10_002), TYPE, "over 10000 parts"),
        (multipart(part(b"[1", 'form-data; name="a"', "Content-Type: application/json")), TYPE,
         "Part 'a': Invalid JSON"),
        (b"\xff=1", "application/x-www-form-urlencoded", "a name is not UTF-8"),
        (b"a=%zz", "application/x-www-form-urlencoded", "a percent sign at byte 2"),
        (b"a=%4", "application/x-www-form-urlencoded", "a percent sign at byte 2"),
        (b"[1, 2]", "application/x-www-form-urlencoded", "it is JSON"),
        (b"&".join([b"a=1"] * 10_001), "application/x-www-form-urlencoded", "Over 10000"),
    ],
)  # fmt: skip
def test_a_malformed_form_is_refused(body, content_type, words):
    with pytest.raises(DecodeError, match=words) as caught:
        form.decode(body, content_type)
    assert len(caught.value.message) <= 300


def test_the_refusal_of_a_part_keeps_its_status():
    body = multipart(part(b"a", 'form-data; name="a"', "Content-Type: text/csv; charset=klingon"))
    with pytest.raises(UnsupportedMediaTypeError, match="Part 'a'"):
        form.decode(body, TYPE)


def test_a_file_is_recognized_by_a_name_in_any_charset():
    body = multipart(part(b"text", "form-data; name=a; filename*=utf-8''%C3%A9"))
    assert form.decode(body, TYPE) == {"a": b"text"}
    body = multipart(part(b"text", 'form-data; filename="a\u2028b"; name=a'))
    assert form.decode(body, TYPE) == {"a": b"text"}


def test_values_are_bytes_in_the_charset_of_the_form():
    kind = "application/x-www-form-urlencoded"
    assert form.decode(b"a=%ff&b=%E9", kind) == {"a": b"\xff", "b": b"\xe9"}
    assert form.decode(b"a=%E9&b=\xe9", kind + "; charset=latin-1") == {"a": "\xe9", "b": "\xe9"}


@given(st.binary(max_size=40), st.integers(1, 9))
def test_escaped_bytes_survive_a_round_trip(value, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(form, "_PIECE", piece + 2)
        body = b"a=" + quote_plus(value).encode()
        (field,) = form.fields(body, "application/x-www-form-urlencoded")
    assert field.value == value.removeprefix(b"\xef\xbb\xbf")


def test_urlencoded_forms_have_a_codec():
    codec = codecs.for_content_type("application/x-www-form-urlencoded")
    assert codec.decode(b"a=1", "application/x-www-form-urlencoded") == {"a": "1"}


def test_a_form_that_only_looks_like_json_is_one():
    assert form.decode(b"[a]=1&{b}=2", "application/x-www-form-urlencoded") == {
        "[a]": "1",
        "{b}": "2",
    }
