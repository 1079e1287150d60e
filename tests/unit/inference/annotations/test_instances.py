"""Fields of pydantic's classes that are of other libraries: images, arrays, classes of attrs."""

from __future__ import annotations

import base64
import io
import json
from typing import Annotated, Any

import attrs
import msgspec
import numpy as np
import numpy.typing as npt
import pydantic
import pydantic_core
import pytest
from PIL import Image
from support.annotated import asked, converted, served
from support.forms import TYPE, file, form, part

from sagemaker_inference import _budget
from sagemaker_inference.errors import UnprocessableInputError


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 2)).save(data, "png")
    return data.getvalue()


@attrs.define
class Place:
    x: int


class Room(msgspec.Struct):
    area: float


class Other:
    pass


class House(pydantic.BaseModel, arbitrary_types_allowed=True):
    rooms: int
    picture: Annotated[Image.Image, "of the house"] = pydantic.Field(alias="photo")
    prices: np.ndarray | None = None
    sizes: npt.NDArray[Any] | None = None
    places: list[Place] = []
    pair: tuple[Place, int] | None = None
    by_name: dict[str, Room] = {}
    other: Other | None = None


class Street(pydantic.BaseModel):
    houses: list[House]


PHOTO = base64.b64encode(png()).decode()
GOOD: dict[str, Any] = {
    "rooms": 2, "photo": PHOTO, "prices": [[1, 2]], "sizes": [1.5], "places": [{"x": 1}],
    "pair": [{"x": 2}, 3], "by_name": {"kitchen": {"area": 1}}, "other": None,
}  # fmt: skip
BAD: dict[str, Any] = {
    "rooms": "x", "photo": "aaaa", "prices": [["x"]], "places": [{"x": "y"}, 1],
    "pair": [{"x": 2}, "z"], "by_name": {"kitchen": {}}, "other": {},
}  # fmt: skip
WORDS = [
    "rooms: expected int, got str",
    "photo: Not a JPEG, PNG or WebP image",
    "prices: Expected a number in row 1, column 1, not str 'x'.",
    "places.0.x: expected int, got str",
    "places.1: expected object, got int",
    "pair.1: expected int, got str",
    "by_name.kitchen.area: missing",
    "other: expected Other, got object",
]


def message(hint: Any, value: Any) -> str:
    with pytest.raises(UnprocessableInputError) as caught:
        converted(hint, json.dumps(value).encode())
    return caught.value.message


def check(house: House) -> None:
    assert house.picture.size == (4, 2)
    assert house.prices is not None
    assert house.sizes is not None
    assert (house.prices.tolist(), house.sizes.tolist()) == ([[1, 2]], [1.5])
    assert (house.places, house.pair) == ([Place(1)], (Place(2), 3))
    assert house.by_name == {"kitchen": Room(1.0)}


@pytest.mark.parametrize(
    ("hint", "wrap", "unwrap"),
    [
        (House, lambda one: one, lambda made: made),
        (House | None, lambda one: one, lambda made: made),
        (list[House], lambda one: [one], lambda made: made[0]),
        (list[House], lambda one: {"instances": [one]}, lambda made: made[0]),
        (dict[str, House], lambda one: {"a": one}, lambda made: made["a"]),
        (Street, lambda one: {"houses": [one]}, lambda made: made.houses[0]),
    ],
)
def test_they_are_made_of_json_wherever_they_are(hint, wrap, unwrap):
    check(unwrap(converted(hint, json.dumps(wrap(GOOD)).encode())))
    last = [text.partition(":")[0].split(".")[-1] for text in message(hint, wrap(BAD)).split("; ")]
    assert last == [text.partition(":")[0].split(".")[-1] for text in WORDS]


def test_what_is_wrong_with_them_is_named_beside_the_other_fields():
    assert message(House, BAD).split("; ") == WORDS
    assert message(list[House], [GOOD, BAD]).split("; ") == [f"1.{text}" for text in WORDS]


def test_null_is_none_where_it_may_be():
    body = json.dumps({**GOOD, "prices": None}).encode()
    assert converted(House, body).prices is None


def test_lines_of_json_have_them_too():
    line = json.dumps(GOOD).encode() + b"\n"
    for house in converted(list[House], line * 2, "application/jsonlines"):
        check(house)


def test_a_bad_image_of_a_form_does_not_hide_other_fields():
    body = form(part("rooms", b"x"), file("photo", b"no image", "a.png", "image/png"))
    answer = asked(served(House), body, TYPE)
    assert answer.status == 422
    words = b"rooms: expected int, got str; photo: Not a JPEG, PNG or WebP image"
    assert words in bytes(answer.body)


def test_of_large_bodies_the_class_is_named():
    many = [GOOD, {**GOOD, "photo": "a" * _budget.SMALL}]
    assert message(list[House], many) == "1.photo: expected Image"


def test_a_validator_of_the_program_goes_first():
    def halved(value: Any) -> Any:
        return np.asarray(value) / 2

    kind = Annotated[np.ndarray, pydantic.BeforeValidator(halved)]
    hint = pydantic.create_model(
        "Halved", __config__={"arbitrary_types_allowed": True}, values=(kind, ...)
    )
    assert converted(hint, b'{"values": [2, 4]}').values.tolist() == [1, 2]


def test_a_class_that_pydantic_knows_is_left_to_it():
    @attrs.define
    class Known:
        x: int

        @classmethod
        def __get_pydantic_core_schema__(cls, _source, _handler):
            make = pydantic_core.core_schema.no_info_plain_validator_function
            return make(lambda value: cls(len(value)))

    hint = pydantic.create_model(
        "Knowing",
        __config__={"arbitrary_types_allowed": True},
        known=(Known, ...),
        place=(Place, ...),
    )
    found = converted(hint, b'{"known": "abc", "place": {"x": 1}}')
    assert (found.known, found.place) == (Known(3), Place(1))


def test_they_are_made_where_pydantic_does_not_look_for_them_in_json(monkeypatch):
    def refuse(*_arguments: Any, **_options: Any) -> None:
        message = "Cannot check isinstance when validating from json"
        raise NotImplementedError(message)

    monkeypatch.setattr(pydantic.TypeAdapter, "validate_json", refuse)
    check(converted(House, json.dumps(GOOD).encode()))
