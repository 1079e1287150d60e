"""Texts that are made of regular expressions."""

from __future__ import annotations

import re

import pytest

from sagemaker_inference._schemas.patterns import text_like


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[A-Z]{2}\d{4}$", "AA1111"),
        (r"^(foo|bar)-\1$", "foo-foo"),
        (r"^[^a-z\d]\D\S\W\s[^\w]$", "Aaa- -"),
        (r"^.[^a](?:x)(?=y)y*?$", None),
        (r"^.[^a](?:x)(?=y)y+?$", "a1xy"),
        (r"^ü[ä-ö]$", "üä"),
        (r"^é+$", "é"),
        (r"^a{0}b*c?$", ""),
        (r"^(?P<a>x)(?P=a)(?!y)$", "xx"),
        (r"^x(?<=x)\bz?$", "x"),
        (r"^x$|^y$", "x"),
        (r"[\x00]", "\x00"),
        # What Python cannot read, nothing matches, or is too long.
        (r"^\p{L}$", None),
        (r"^(", None),
        (r"^a(?<!a)$", None),
        (r"^[^\s\S]$", None),
        (r"^(?:a{100}){100}$", None),
        (r"^a{2000}$", None),
        (r"^(a)?(?(1)b|c)$", None),
        (r"^a{99999999999999999999}$", None),
        ("(" * 5000 + ")" * 5000, None),
    ],
)
def test_a_pattern_matches_what_is_made_of_it(pattern, text):
    assert text_like(pattern) == text
    assert text is None or re.search(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "limits", "text"),
    [
        (r"^\d+$", (3, 5), "111"),
        (r"^\d*(ab)*$", (4, 6), "11abab"),
        (r"^\d{2,3}$", (3, 9), "111"),
        (r"^\d{2,3}$", (4, 9), None),
        (r"^\d{5}$", (0, 4), None),
        (r"^\d+$", (2000, 3000), None),
    ],
)
def test_a_text_is_as_long_as_it_has_to_be(pattern, limits, text):
    assert text_like(pattern, *limits) == text
