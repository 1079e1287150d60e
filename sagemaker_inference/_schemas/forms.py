"""Forms with files: their schema, and a sample of one."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._inference.annotations.files import file_class_of, names_of_files
from sagemaker_inference._inference.annotations.hints import (
    core,
    fields_by_name,
    is_image_class,
    list_of,
    value_hint,
)
from sagemaker_inference._schemas.samples import sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagemaker_inference._schemas.hints import Schema

# The smallest image.
IMAGE: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
)
_BOUNDARY: Final = "sample"
_BINARY: Final = "binary"


def has_files(hint: Any) -> bool:
    """Whether parts of a form become files."""
    return names_of_files(hint) != {}


def form_schema(hint: Any, schema: Schema) -> Schema:
    """The schema of a form: files are no base64 there, as they are in JSON.

    Args:
        hint: an annotation with files.
        schema: that of its JSON, with its properties.
    """
    names = names_of_files(hint)
    if names is None:
        value = value_hint(hint)
        of_one = {"minProperties": 1, "maxProperties": 1}
        limits = of_one if value is None and list_of(hint) is None else {}
        part = _part(hint if value is None else value, is_alone=value is None)
        return {"type": "object", "additionalProperties": part, **limits}
    fields = fields_by_name(core(hint)[0])
    # A union of classes has none of its own.
    properties = dict(schema.get("properties", {}))
    for name in names.keys() & properties.keys():
        properties[name] = _part(fields[name])
    return {**schema, "properties": properties} if properties else schema


def _part(hint: Any, *, is_alone: bool = False) -> Schema:
    """The schema of what has one name in a form, be it several parts."""
    media = "image/png" if is_image_class(file_class_of(hint)) else content_types.OCTET_STREAM
    file: Schema = {"type": "string", "format": _BINARY, "contentMediaType": media}
    return file if is_alone or list_of(hint) is None else {"type": "array", "items": file}


def form_sample(schema: Schema, components: Mapping[str, Schema]) -> tuple[str, bytes]:
    """The Content-Type and the body of a form that fits a schema.

    Raises:
        NoSampleError: there is none.
    """
    lines: list[bytes] = []
    for name, part in _parts(schema):
        head = f'Content-Disposition: form-data; name="{name}"'
        if part.get("format") == _BINARY:
            media = part["contentMediaType"]
            is_image = media == "image/png"
            ending = "png" if is_image else "bin"
            head += f'; filename="{name}.{ending}"\r\nContent-Type: {media}'
            data = base64.b64decode(IMAGE) if is_image else b"text"
        else:
            value = sample(part, components)
            is_text = isinstance(value, str)
            head += "" if is_text else f"\r\nContent-Type: {content_types.JSON}"
            data = value.encode() if is_text else json.dumps(value).encode()
        lines += [f"--{_BOUNDARY}".encode(), head.encode(), b"", data]
    body = b"\r\n".join([*lines, f"--{_BOUNDARY}--".encode(), b""])
    return f"{content_types.MULTIPART}; boundary={_BOUNDARY}", body


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    named = schema.get("properties") or {"file": schema.get("additionalProperties", {})}
    for name, part in named.items():
        is_files = part.get("items", {}).get("format") == _BINARY
        yield name, part["items"] if is_files else part
