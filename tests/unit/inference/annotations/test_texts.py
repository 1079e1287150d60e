"""Annotations of rows of text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.annotated import CSV, converted

from sagemaker_inference.errors import UnprocessableInputError


@pytest.mark.parametrize(
    "hint",
    [
        list[list[str]],
        list[tuple[str, str]],
        Sequence[Sequence[str]],
        list[list[str | None]],
    ],
)
def test_cells_of_csv_stay_text_where_the_annotation_says_text(hint):
    rows = converted(hint, b"007,2.50\n,x", CSV)
    assert list(map(list, rows)) == [["007", "2.50"], ["", "x"]]


def test_other_formats_and_annotations_have_numbers():
    assert converted(list[list[str | int]], b"7,x", CSV) == [[7, "x"]]
    with pytest.raises(UnprocessableInputError, match=r"^1\.0: expected str, got int"):
        converted(list[list[str]], b'["a"]\n[1]', "application/jsonlines")
