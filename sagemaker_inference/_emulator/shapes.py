"""What an operation of the control plane takes, by an excerpt of botocore's service model.

The excerpt is shipped, so that a request is answered alike where botocore is not installed.
"""

from __future__ import annotations

import json
import logging
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    Fields = dict[str, Any]
    Shape = dict[str, Any]

_FILE: Final = Path(__file__).with_name("shapes.json")
_LARGEST_INTEGER: Final = 2**31 - 1
# Of 32 bits, as the platform's are.
_LARGEST_FLOAT: Final = 3.4028234e38
_ARTICLES: Final = {
    "string": "a String",
    "integer": "an Integer",
    "float": "a Float",
    "boolean": "a Boolean",
    "timestamp": "milliseconds since epoch",
}
_CONTAINERS: Final = {"structure": dict, "map": dict, "list": list}

logger = logging.getLogger(__name__)


def read(operation: str, body: bytes) -> Fields:
    """The members of a request, without those that are null or not the operation's.

    >>> read("DescribeModel", b'{"ModelName": "mine"}')
    {'ModelName': 'mine'}

    Args:
        operation: one of the excerpt.
        body: JSON.

    Raises:
        PlatformError: SerializationException: the body is not a JSON object, or a member is of
            another type; ValidationException: a member is missing or breaks a constraint.
    """
    try:
        sent = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        message = "The body of the request is not a JSON object"
        raise _serialization_error(message)
    shape = _model()["operations"][operation]
    fields: Fields = _converted(shape, sent, operation)
    problems = list(_problems(shape, fields, ""))
    if problems:
        raise errors.invalid(errors.of_constraints(problems))
    return fields


@cache
def _model() -> Fields:
    model: Fields = json.loads(_FILE.read_text("utf-8"))
    return model


def _shape(name: str) -> Shape:
    shape: Shape = _model()["shapes"][name]
    return shape


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _serialization_error(message: str) -> errors.PlatformError:
    return errors.PlatformError(400, "SerializationException", message)


# Types come first: the platform reads a request before it looks at constraints.


def _converted(name: str, value: Any, path: str) -> Any:
    """A value as its shape has it; raises SerializationException where it cannot be one."""
    shape = _shape(name)
    kind = shape["type"]
    if value is None:
        return None
    if not _is_of(kind, value):
        logger.warning("%s: it has to be %s, and is %.60r", path, kind, value)
        raise _serialization_error(_mismatch(kind, value))
    if kind == "structure":
        return {
            member: _converted(inner, value[member], f"{path}.{member}")
            for member, inner in shape["members"].items()
            if value.get(member) is not None
        }
    if kind == "map":
        return {key: _converted(shape["value"], one, f"{path}.{key}") for key, one in value.items()}
    if kind == "list":
        return [
            _converted(shape["member"], one, f"{path}.{number}")
            for number, one in enumerate(value, 1)
        ]
    return value


def _is_of(kind: str, value: Any) -> bool:
    if kind in _CONTAINERS:
        return isinstance(value, _CONTAINERS[kind])
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) and abs(value) <= _LARGEST_INTEGER
    is_number = kind in ("float", "timestamp") and isinstance(value, (int, float))
    return is_number and abs(value) <= _LARGEST_FLOAT


def _mismatch(kind: str, value: Any) -> str:
    if isinstance(value, dict):
        return "Start of structure or map found where not expected."
    if isinstance(value, list):
        return "Start of list found where not expected"
    if kind in _CONTAINERS:
        return "Unexpected field type"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    token = "NUMBER" if is_number else "STRING" if isinstance(value, str) else str(value).upper()
    return f"{token}_VALUE can not be converted to {_ARTICLES[kind]}"


def _problems(name: str, value: Any, path: str) -> Iterator[str]:
    """What breaks a constraint, in the platform's words."""
    shape = _shape(name)
    broken = _broken(shape, value)
    if broken:
        shown = "null" if value is None else f"'{_shown(value)}'"
        yield f"Value {shown} at '{path}' failed to satisfy constraint: Member must {broken}"
        return
    if shape["type"] == "structure":
        for member in shape.get("required", ()):
            if member not in value:
                yield from _problems(shape["members"][member], None, _joined(path, member))
        for member, one in value.items():
            yield from _problems(shape["members"][member], one, _joined(path, member))
    elif shape["type"] == "map":
        for key, one in value.items():
            yield from _problems(shape["key"], key, f"{path}.{key}.key")
            yield from _problems(shape["value"], one, f"{path}.{key}.member")
    elif shape["type"] == "list":
        for number, one in enumerate(value, 1):
            yield from _problems(shape["member"], one, f"{path}.{number}.member")


def _joined(path: str, member: str) -> str:
    name = f"{member[0].lower()}{member[1:]}"
    return f"{path}.{name}" if path else name


def _broken(shape: Shape, value: Any) -> str:
    """The constraint that a value breaks; "" if it breaks none."""
    if value is None:
        return "not be null"
    is_sized = isinstance(value, (str, list, dict))
    what = "length" if is_sized else "value"
    size = len(value) if is_sized else value
    if "max" in shape and size > shape["max"]:
        return f"have {what} less than or equal to {shape['max']}"
    if "min" in shape and size < shape["min"]:
        return f"have {what} greater than or equal to {shape['min']}"
    if "enum" in shape and value not in shape["enum"]:
        return f"satisfy enum value set: [{', '.join(shape['enum'])}]"
    if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
        return f"satisfy regular expression pattern: {shape['pattern']}"
    return ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
