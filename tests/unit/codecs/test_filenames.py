"""File names of clients: what they are called, and never where they lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forms import TYPE, form, part

from sagemaker_inference._content_types import parse
from sagemaker_inference.codecs import form as codec
from sagemaker_inference.codecs._filenames import filename_of


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="a.txt"', "a.txt"),
        ("filename=a.txt", "a.txt"),
        ('filename="a b;c.txt"', "a b;c.txt"),
        (r'filename="say \"hi\".txt"', 'say "hi".txt'),
        ('filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('filename="naïve ☃.txt"', "naïve ☃.txt"),
        ("filename*=UTF-8''na%C3%AFve.txt; filename=\"naive.txt\"", "naïve.txt"),
        ("filename*=utf-8'en'%e2%82%ac.txt", "€.txt"),
        ("filename*=iso-8859-1''%E9.txt", "é.txt"),
        ("filename*=utf-8''%ff.txt; filename=\"a.txt\"", "a.txt"),
        ("filename*=koi8-r''a.txt", ""),
        ("filename*=a.txt", ""),
        ('filename="../../etc/passwd"', "passwd"),
        ("filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        (r'filename="C:\\dir\\a.txt"', "a.txt"),
        ('filename="/"', ""),
        ('filename=".."', ""),
        ('filename=""', ""),
        ('filename="a\0b\r.txt"', "ab.txt"),
        ('filename="\u202egnp.exe"', "gnp.exe"),
        ("", None),
    ],
)
def test_a_name_has_no_folders_and_nothing_that_cannot_be_printed(disposition, name):
    assert filename_of(parse(f"form-data; {disposition}").parameters) == name


LONG = ["a" * 300 + ".txt", "é" * 200 + ".gz", "." + "x" * 300, "a" * 300 + "." + "x" * 200]


@pytest.mark.parametrize("name", LONG)
def test_a_long_name_is_cut_before_its_ending(name):
    found = filename_of({"filename": name})
    assert 254 <= len(found.encode()) <= 255
    assert found[-3:] == name[-3:]


@given(st.text(), st.booleans())
def test_no_name_leads_elsewhere(text, is_extended):
    name = filename_of({"filename*": f"utf-8''{text}"} if is_extended else {"filename": text})
    assert name is not None
    assert not {"/", "\\", "\0"} & set(name)
    assert name not in {".", ".."}
    assert len(name.encode("utf-8")) <= 255


def test_a_part_of_a_form_has_its_name():
    body = form(part("a", b"1", 'filename="x/a.txt"'), part("b", b"2"))
    assert [field.filename for field in codec.fields(body, TYPE)] == ["a.txt", None]
