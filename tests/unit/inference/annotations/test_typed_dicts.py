"""What a TypedDict says of its keys is no part of what it says of their values."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
import pytest
import typing_extensions as extensions
from support.annotated import converted, sent

from sagemaker_inference._http.messages import Part
from sagemaker_inference._http.uploads import Upload
from sagemaker_inference._inference.annotations.by_msgspec import plain_converter
from sagemaker_inference._inference.annotations.files import names_of_files
from sagemaker_inference.errors import RegistrationError, UnprocessableInputError

Size = Annotated[int, msgspec.Meta(ge=0)]


class House(extensions.TypedDict, total=False):
    area: extensions.NotRequired[float]
    rooms: extensions.Required[Size]
    tags: Annotated[extensions.NotRequired[list[int]], "tags"]


class Scanned(extensions.TypedDict):
    scan: extensions.NotRequired[Upload]


class Fixed(extensions.TypedDict):
    area: extensions.ReadOnly[float]


WRONG = {"area": "x", "rooms": -1, "tags": [1, "y"]}
WORDS = "area: expected float, got str; rooms: must be >= 0; tags.1: expected int, got str"


def test_wrong_fields_are_named_as_those_of_other_classes():
    with pytest.raises(UnprocessableInputError) as caught:
        converted(House, json.dumps(WRONG).encode())
    assert caught.value.message == WORDS
    with pytest.raises(UnprocessableInputError) as caught:
        converted(list[House], b'[{"area": "x"}]')
    assert caught.value.message == "0.area: expected float, got str; 0.rooms: missing"
    with pytest.raises(ValueError, match=r"^area: expected float, got str; rooms: must be >= 0"):
        plain_converter(House)(WRONG)


def test_a_form_has_the_lists_and_files_of_its_fields():
    answer = sent(House, [Part("rooms", "", b"2"), Part("tags", "", b"3")])
    assert (answer.status, answer.body) == (200, b"dict {'rooms': 2, 'tags': [3]}")
    assert names_of_files(Scanned) == {"scan": Upload}


def test_what_msgspec_does_not_know_is_refused_at_the_start():
    with pytest.raises(RegistrationError, match=r"ReadOnly\[float\]' is not supported"):
        converted(Fixed, b"{}")
