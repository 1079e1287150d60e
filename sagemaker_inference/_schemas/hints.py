"""JSON Schema of type hints: those of pydantic and msgspec, and of arrays and tables."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

from sagemaker_inference._inference.annotations.files import (
    file_class_of,
    is_any_body,
    is_file_class,
)
from sagemaker_inference._inference.annotations.hints import (
    core,
    is_array_class,
    is_image_class,
    is_of_library,
    is_raw_type,
    library_of,
    list_of,
    mentions_pydantic,
)
from sagemaker_inference._schemas.formats import add_formats
from sagemaker_inference._schemas.forms import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    Schema = dict[str, Any]
    # Of what is read, or of what is written: a model of pydantic may have one of each.
    Mode = Literal["validation", "serialization"]
    # Makes a schema, and the components that it refers to, by a template with the place of a name.
    Make = Callable[[str, str], tuple[Schema, dict[str, Schema]]]

_NUMBERS: Final = {"type": ["number", "boolean"]}
_VECTOR: Final = {"type": "array", "items": _NUMBERS}
_CELL: Final = {"type": ["number", "string", "boolean", "null"]}


# Within JSON.
_FILE: Final = {"type": "string", "contentEncoding": "base64"}
_IMAGE: Final = {**_FILE, "contentMediaType": "image/png", "examples": [IMAGE]}


def _array(reference: str) -> Schema:
    items = [_NUMBERS, {"$ref": reference}]
    return {
        "description": "Numbers or booleans in nested arrays of equal lengths.",
        "type": "array",
        "items": {"anyOf": items},
        "examples": [[[1.0, 2.0], [3.0, 4.0]]],
    }


def _matrix(_reference: str) -> Schema:
    return {
        "description": "Rows of numbers.",
        "type": "array",
        "items": _VECTOR,
        "examples": [[[1.0, 0.0], [0.0, 2.0]]],
    }


def _table(_reference: str) -> Schema:
    return {
        "description": "A table: records, rows, or columns by name.",
        "anyOf": [
            {"type": "array", "items": {"type": "object", "additionalProperties": _CELL}},
            {"type": "array", "items": {"type": "array", "items": _CELL}},
            {"type": "object", "additionalProperties": {"type": "array", "items": _CELL}},
        ],
        "examples": [[{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]],
    }


def _plain_name(kind: Any) -> str:
    """The component of an array or a table; "" for another class."""
    if is_array_class(kind) or is_of_library(kind, "torch", "Tensor"):
        return "Array"
    if is_of_library(kind, "pandas", "DataFrame") or is_of_library(kind, "pyarrow", "Table"):
        return "Table"
    return "Matrix" if library_of(kind) == "scipy" else ""


_PLAIN: Final[dict[str, Callable[[str], Schema]]] = {
    "Array": _array,
    "Matrix": _matrix,
    "Table": _table,
}


class Schemas:
    """Makes the schemas of one document.

    Args:
        prefix: where the document has what schemas share: "#/$defs/".
        **components: what it has there already.

    Attributes:
        components: what they share, by name.
    """

    def __init__(self, prefix: str, **components: Schema) -> None:
        self.prefix = prefix
        self.components = components

    def of(self, hint: Any, mode: Mode = "validation") -> Schema:
        """The schema of a hint; {}, which anything fits, where the hint says nothing.

        Args:
            hint: a type hint, or None for none.
            mode: whether values are read or written.
        """
        kind, may_be_none = core(hint)
        if kind is None or isinstance(kind, str) or kind in (type(None), Any, object):
            return {}
        if is_raw_type(kind):
            schema: Schema = {"type": "string"} if kind is str else {}
        elif is_any_body(kind):
            return {}
        elif file_class_of(kind) is not None:
            is_alone = list_of(kind) is None
            schema = _IMAGE if is_alone else {"type": "array", "items": _IMAGE}
        elif _plain_name(kind):
            schema = self._reference(_plain_name(kind))
        else:
            # None is a part of the hint that the libraries know.
            return self._by_library(hint, mode)
        return {"anyOf": [schema, {"type": "null"}]} if may_be_none and schema else schema

    def _reference(self, name: str) -> Schema:
        def make(prefix: str, suffix: str) -> tuple[Schema, dict[str, Schema]]:
            reference = f"{prefix}{name}{suffix}"
            return {"$ref": reference}, {f"{name}{suffix}": _PLAIN[name](reference)}

        return self._added(make)

    def _by_library(self, hint: Any, mode: Mode) -> Schema:
        makers: list[Make] = []
        if mentions_pydantic(hint, {}):
            makers.append(lambda prefix, suffix: _of_pydantic(hint, mode, prefix, suffix))
        makers.append(lambda prefix, suffix: _of_msgspec(hint, self._reference, prefix, suffix))
        for make in makers:
            # One library does not know the types of the other, and hints may be of neither.
            with contextlib.suppress(Exception):
                return self._added(make)
        return {}

    def _added(self, make: Make) -> Schema:
        """A schema whose components have names that no others have."""
        number = 1
        while True:
            schema, components = make(self.prefix, str(number) if number > 1 else "")
            known = self.components
            if all(known.get(name, part) == part for name, part in components.items()):
                known.update(components)
                return schema
            number += 1


def _of_pydantic(
    hint: Any, mode: Mode, prefix: str, suffix: str
) -> tuple[Schema, dict[str, Schema]]:
    adapter = sys.modules["pydantic"].TypeAdapter(hint)
    key = ("hint", mode)
    schemas, shared = adapter.json_schemas(
        [("hint", mode, adapter)], ref_template=f"{prefix}{{model}}{suffix}"
    )
    components = {f"{name}{suffix}": part for name, part in shared.get("$defs", {}).items()}
    return schemas[key], components


def _of_msgspec(
    hint: Any, reference: Callable[[str], Schema], prefix: str, suffix: str
) -> tuple[Schema, dict[str, Schema]]:
    import msgspec

    def of_class(kind: Any) -> Schema:
        if is_file_class(kind):
            return _IMAGE if is_image_class(kind) else _FILE
        name = _plain_name(kind)
        return reference(name) if name else {}

    (schema,), shared = msgspec.json.schema_components(
        [hint], schema_hook=of_class, ref_template=f"{prefix}{{name}}{suffix}"
    )

    def component(reference: str) -> tuple[str, Schema]:
        name = reference.removeprefix(prefix).removesuffix(suffix)
        return name, shared.get(name, {})

    add_formats(schema, hint, component)
    return schema, {f"{name}{suffix}": part for name, part in shared.items()}
