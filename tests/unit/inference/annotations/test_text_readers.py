"""Texts of forms and cells, read by annotations that are no text."""

from __future__ import annotations

from enum import Enum, IntFlag
from typing import Any, Literal

import pytest

from sagemaker_inference._inference.annotations.forms import text_reader


class Size(Enum):
    SMALL = "small"
    TWO = 2


class Access(IntFlag):
    READ = 1
    WRITE = 2


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (Literal["a", 1], "a", "a"),
        (Literal["a", 1], "1", 1),
        (Literal[1], "b", "b"),
        (Size, "small", "small"),
        (Size, "2", 2),
        (Access, "3", 3),
        (Access, "all", "all"),
        (bool, "on", True),
        (str, "on", "on"),
    ],
)
def test_a_text_is_the_value_that_it_stands_for(hint: Any, text: str, value: Any) -> None:
    read = text_reader([hint])(text)
    assert (read, type(read)) == (value, type(value))
