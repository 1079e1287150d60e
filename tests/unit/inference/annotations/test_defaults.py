"""Defaults of dataclasses, which instances made by msgspec have of their own."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from support.annotated import converted

from sagemaker_inference import Registry
from sagemaker_inference._inference.annotations.defaults import completing
from sagemaker_inference.testing import TestClient

T = TypeVar("T")


@dataclasses.dataclass
class Flat:
    area: float
    rooms: int = 1


@dataclasses.dataclass(frozen=True)
class Tree:
    inner: Tree | None = None
    leaves: int = 3


@dataclasses.dataclass
class Of(Generic[T]):
    item: T
    count: int = 1


@dataclasses.dataclass(slots=True)
class Slotted:
    flats: list[Flat]
    count: int = 1


class Packed(msgspec.Struct):
    flat: Flat


class Named(TypedDict):
    flats: dict[str, Flat]


@attrs.define
class Wrapped:
    flat: Flat
    count: int = 1


def test_an_input_is_written_with_its_defaults():
    registry = Registry()
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(flats: list[Flat], model):
        return flats

    with TestClient(registry) as client:
        reply = client.invoke([{"area": 1}, {"area": 2, "rooms": 2}])
    assert reply.json() == [{"area": 1.0, "rooms": 1}, {"area": 2.0, "rooms": 2}]


@pytest.mark.parametrize(
    ("hint", "body", "of"),
    [
        (Flat | None, b'{"area": 1}', lambda value: value),
        (tuple[Flat, int], b'[{"area": 1}, 2]', lambda value: value[0]),
        (Of[Flat], b'{"item": {"area": 1}}', lambda value: value.item),
        (Slotted, b'{"flats": [{"area": 1}]}', lambda value: value.flats[0]),
        (Packed, b'{"flat": {"area": 1}}', lambda value: value.flat),
        (Named, b'{"flats": {"a": {"area": 1}}}', lambda value: value["flats"]["a"]),
        (Wrapped, b'{"flat": {"area": 1}}', lambda value: value.flat),
    ],
)
def test_defaults_are_set_wherever_a_dataclass_stands(hint, body, of):
    assert vars(of(converted(hint, body))) == {"area": 1.0, "rooms": 1}


def test_a_class_of_others_has_its_own_defaults():
    assert vars(converted(Of[Flat], b'{"item": {"area": 1}}'))["count"] == 1
    found = converted(Tree, b'{"inner": {}}')
    assert vars(found) == {"inner": Tree(), "leaves": 3}
    assert vars(found.inner) == {"inner": None, "leaves": 3}


@pytest.mark.parametrize("hint", [list[float], dict[str, int], TypedDict("Empty", {"x": int})])
def test_other_inputs_are_not_looked_through(hint):
    assert completing(hint) is None


def test_defaults_are_set_however_deep_an_input_is():
    complete = completing(Tree)
    assert complete is not None
    innermost = msgspec.convert({}, Tree)
    outer = innermost
    for _ in range(20_000):
        outer = Tree(outer)
    complete(outer)
    assert vars(innermost)["leaves"] == 3
