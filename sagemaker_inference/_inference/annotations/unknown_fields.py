"""Fields of a prediction that its annotation does not have."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sagemaker_inference._inference.annotations.hints import pydantic_fields
from sagemaker_inference.codecs import _objects

if TYPE_CHECKING:
    from collections.abc import Iterator


def left_out(value: Any, instance: Any, path: str = "") -> Iterator[str]:
    """The names of the fields, with dots between those that lead there.

    Of a list, the first item stands for all: they are of one program.

    Args:
        value: a prediction.
        instance: what its annotation has made of it.
        path: what the names begin with.
    """
    if isinstance(value, (list, tuple)) and isinstance(instance, (list, tuple)):
        for first, made in islice(zip(value, instance, strict=False), 1):
            yield from left_out(first, made, f"{path}0.")
        return
    known = _fields(instance)
    if known is None or not isinstance(value, dict):
        return
    for name, item in value.items():
        if name in known:
            yield from left_out(item, known[name], f"{path}{name}.")
        else:
            yield f"{path}{name}"


def _fields(instance: Any) -> dict[str, Any] | None:
    """The values of an object by the names that its fields come with; None for other values."""
    if isinstance(instance, dict):
        return instance
    if not _objects.is_object(instance):
        return None
    models = pydantic_fields(type(instance))
    if models is None:
        found: dict[str, Any] = _objects.fields(instance)
        return found
    found = {}
    for name, field in models.items():
        found |= dict.fromkeys((name, *_aliases(field)), getattr(instance, name))
    return found | (getattr(instance, "__pydantic_extra__", None) or {})


def _aliases(field: Any) -> Iterator[str]:
    alias = field.validation_alias
    for one in getattr(alias, "choices", [alias]):
        # It may be a path, of which the first step is the name of a field.
        yield getattr(one, "path", [one])[0]
