from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference import content_types
from sagemaker_inference.content_types import matches, negotiate, parse, parse_accept, quality


def test_aws_s_names_stay():
    assert content_types.UTF8_TYPES == ["application/json", "text/csv"]
    assert content_types.ANY == "*/*"
    assert content_types.OCTET_STREAM == "application/octet-stream"
    assert (content_types.NPY, content_types.NPZ) == ("application/x-npy", "application/x-npz")


@pytest.mark.parametrize(
    ("header", "name", "parameters"),
    [
        ("application/JSON", "application/json", {}),
        ("text/csv; label_size=0", "text/csv", {"label_size": "0"}),
        (" text/csv ;charset=UTF-8;Header=present", "text/csv",
         {"charset": "UTF-8", "header": "present"}),
        ('a/b; x="1;2"; y="a\\"b\\\\"', "a/b", {"x": "1;2", "y": 'a"b\\'}),
        ('a/b; x="open', "a/b", {"x": '"open'}),
        ("a/b; nonsense; =; x=", "a/b", {"": "", "x": ""}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_headers_are_read_without_case_and_with_parameters(header, name, parameters):
    assert parse(header) == (name, parameters)


def test_parameters_cannot_be_changed():
    with pytest.raises(TypeError):
        parse("a/b; x=1").parameters["x"] = "2"


@given(st.text())
def test_any_header_is_read(header):
    parse(header)
    negotiate(header, ["application/json", "text/csv"])


def test_wildcards_cover():
    assert matches("*/*", "a/b")
    assert matches("a/*", "a/b")
    assert matches("a/b", "a/b")
    assert not matches("a/*", "ab/c")
    assert not matches("a/c", "a/b")


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("text/csv", [("text/csv", 1.0)]),
        ("text/csv;q=0.5, */*;q=0.1", [("text/csv", 0.5), ("*/*", 0.1)]),
        ("*", [("*/*", 1.0)]),
        ("a/b;q=nan, a/c;q=x, a/d;q=7, a/e;q=-1", [("a/b", 1), ("a/c", 1), ("a/d", 1), ("a/e", 1)]),
        ('a/b;x="1,2"', [("a/b", 1.0)]),
        (",, a/b,", [("a/b", 1.0)]),
        ("", []),
    ],
)
def test_accept_is_a_list_of_ranges(header, ranges):
    assert list(parse_accept(header)) == ranges


def test_the_most_specific_range_counts():
    ranges = parse_accept("*/*;q=0.9, text/*;q=0.5, text/csv;q=0.1")
    assert [quality(ranges, name) for name in ("a/b", "text/plain", "text/csv")] == [0.9, 0.5, 0.1]
    assert quality([], "a/b") == 0


OFFERS = ("application/json", "text/csv", "application/x-npy")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv, application/json", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("text/*, */*;q=0.5", "text/csv"),
        ("*/*, application/x-npy", "application/x-npy"),
        ("application/json;q=0, */*", "text/csv"),
        ("TEXT/CSV; header=absent", "text/csv"),
        ("image/png", None),
        ("application/json;q=0", None),
        ("image/png, text/csv;q=0.1", "text/csv"),
    ],
)
def test_the_client_s_wish_goes_before_the_server_s(accept, chosen):
    assert negotiate(accept, OFFERS) == chosen


def test_nothing_can_be_chosen_from_nothing():
    assert negotiate("", ()) is None
    assert negotiate("*/*", ()) is None
