"""Predictions that are objects with fields: instances of classes, and dicts.

Classes are recognized by their attributes, so that no library has to be imported.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Mapping
from functools import lru_cache
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

# Lists of these are looked at no further.
_SINGLE: Final = frozenset({int, float, bool, str, bytes, type(None)})
_LISTS: Final = frozenset({list, tuple})
_MISSING: Final = object()
_PLAIN: Final = _SINGLE | _LISTS


def is_object(value: object) -> bool:
    """Whether a value is written as one JSON object, even if it is iterable.

    It is a Mapping or an instance of a class with fields: one of pydantic, msgspec or attrs, or a
    dataclass.
    """
    kind: Any = type(value)
    return _reader(kind) is not None


def is_na(value: object, *, or_nat: bool = False) -> bool:
    """Whether it is pandas' ``NA``.

    Args:
        value: any value.
        or_nat: whether ``NaT``, which is in place of a time, is one, too.
    """
    name = type(value).__name__
    return name == "NAType" or (or_nat and name == "NaTType")


def is_address(value: object) -> bool:
    """Whether it is of Python's ``ipaddress``: a network can be iterated over, without an end."""
    return any(kind.__module__ == "ipaddress" for kind in type(value).__mro__)


def fields(value: Any) -> Any:
    """The fields of an object by name, with their values as they are.

    They have the names, and the order, that JSON has. A model of pydantic may be a single value.
    """
    kind: Any = type(value)
    read: Any = _reader(kind)
    return read(value)


# Tables have many rows of few classes.
@lru_cache(maxsize=128)
def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """What reads the fields of the instances of a class; None where it gives them none."""
    missing: Any = _MISSING
    tag = {}
    if issubclass(kind, Mapping):
        return _as_dict
    if hasattr(kind, "model_dump"):
        # By the names that its schema has. A class of another library may have only the method.
        by_alias = {"by_alias": True} if hasattr(kind, "__pydantic_validator__") else {}
        return methodcaller("model_dump", **by_alias)
    if hasattr(kind, "__struct_fields__"):
        names = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
        config = kind.__struct_config__
        tag = {} if config.tag is None else {config.tag_field: config.tag}
        missing = sys.modules["msgspec"].UNSET
    elif hasattr(kind, "__attrs_attrs__"):
        names = {field.name: field.name for field in kind.__attrs_attrs__}
    elif dataclasses.is_dataclass(kind):
        # orjson leaves out the same: private fields, and those that are not set.
        names = {field.name: field.name for field in dataclasses.fields(kind)}
        names = {name: name for name in names if name[:1] != "_"}
    else:
        return None

    def read(value: Any) -> dict[str, Any]:
        found = {
            written: item
            for name, written in names.items()
            if (item := getattr(value, name, missing)) is not missing
        }
        return {**tag, **found} if tag else found

    return read


def _as_dict(mapping: Any) -> dict[Any, Any]:
    return mapping if isinstance(mapping, dict) else dict(mapping)


def plain(value: Any) -> Any:
    """A value with dicts in place of all instances in it; what else it holds stays as it is.

    But members of enums become their values, and UUIDs text, as in JSON.
    """
    kind = type(value)
    if kind in _SINGLE:
        return value
    if kind in _LISTS:
        return list(value) if _SINGLE.issuperset(map(type, value)) else list(map(plain, value))
    if isinstance(value, (enum.Enum, UUID)):
        return value.value if isinstance(value, enum.Enum) else str(value)
    if not is_object(value):
        return value
    values = fields(value)
    if not isinstance(values, dict):
        return plain(values)
    if not _SINGLE.issuperset(map(type, values.values())):
        values = {name: plain(item) for name, item in values.items()}
    config = getattr(kind, "__struct_config__", None)
    return list(values.values()) if config is not None and config.array_like else values


def holds_objects(prediction: Any) -> bool:
    """Whether it is an object, or a list that begins with one."""
    first = prediction[0] if type(prediction) in _LISTS and prediction else prediction
    # To ask for attributes takes longer than to write a number.
    return type(first) not in _PLAIN and is_object(first)


def without_instances(prediction: Any) -> Any:
    """An object, or a list of them, as dicts; anything else as it is."""
    if not holds_objects(prediction):
        return prediction
    values = prediction if type(prediction) in _LISTS else (prediction,)
    return prediction if all(type(value) is dict for value in values) else plain(prediction)


def as_rows(prediction: Any, format_name: str) -> Any:
    """A table with a row for each object, and the values of its fields as columns.

    Args:
        prediction: an object, or a list of them; else it is returned as it is.
        format_name: the format, for errors.

    Returns:
        An array of Python objects of shape (rows, fields).

    Raises:
        EncodeError: the objects have different fields, or not all are objects.
    """
    if not holds_objects(prediction):
        return prediction
    # The server is not to import numpy before a program does.
    import numpy as np

    from sagemaker_inference.codecs import _arrays

    is_list = type(prediction) in _LISTS
    rows = prediction if is_list else (prediction,)
    records = [fields(row) if is_object(row) else row for row in rows]
    if not isinstance(records[0], dict):
        # What models of a single value hold.
        return as_rows(records if is_list else records[0], format_name)
    names = list(records[0])
    table = np.empty((len(records), len(names)), object)
    for index, record in enumerate(records):
        if not isinstance(record, dict) or record.keys() != records[0].keys():
            reason = f"row {index} has other fields than row 0"
            raise _arrays.unencodable(prediction, format_name, reason)
        for column, name in enumerate(names):
            table[index, column] = plain(record[name])
    return table
