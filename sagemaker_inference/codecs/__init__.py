"""Formats: one module each, a pair of pure functions, looked up by content type.

Each module can be used alone: ``from sagemaker_inference.codecs import csv`` and then
``csv.decode(body)`` and ``csv.encode(array)``. Nothing is imported before it is asked for, so a
format whose library is not installed costs nothing and fails only where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sagemaker_inference import content_types

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Body", "Codec", "decodable", "encodable", "find"]

Body: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Codec:
    """One format.

    Attributes:
        name: the module's name, for messages.
        content_types: what it is called in headers; the first is the canonical name.
        decode: takes a body and its whole Content-Type header (parameters such as ``charset``
            and ``header`` count); None where the format can only be written.
        encode: takes a prediction and the content type agreed on; None where the format can only
            be read.
    """

    name: str
    content_types: tuple[str, ...]
    decode: Callable[[Body, str], object] | None
    encode: Callable[[object, str], bytes | bytearray | memoryview] | None


class _Format(NamedTuple):
    module: str
    content_types: tuple[str, ...]
    encodes: bool = True


# Favourite first: the order in which `encodable` offers them.
_FORMATS: Final = (
    _Format("json", ("application/json", "text/json")),
    _Format("csv", ("text/csv", "application/csv")),
    _Format("npy", ("application/x-npy", "tensor/pt")),
    _Format(
        "jsonlines",
        (
            "application/jsonlines",
            "application/x-ndjson",
            "application/jsonl",
            "application/x-jsonlines",
        ),
    ),
    _Format("npz", ("application/x-npz",)),
    _Format("text", ("text/plain",)),
    _Format("octet_stream", ("application/octet-stream", "binary/octet-stream")),
    _Format("recordio", ("application/x-recordio-protobuf",)),
    _Format("libsvm", ("text/libsvm", "text/x-libsvm")),
    _Format("parquet", ("application/x-parquet", "application/vnd.apache.parquet")),
    _Format("arrow", ("application/vnd.apache.arrow.stream",)),
    _Format(
        "image",
        ("application/x-image", "image/jpeg", "image/png", "image/webp", "image/jpg"),
        encodes=False,
    ),
    _Format("form", ("multipart/form-data", "application/x-www-form-urlencoded"), encodes=False),
)
_BY_CONTENT_TYPE: Final = {name: form for form in _FORMATS for name in form.content_types}
_ENCODABLE: Final = tuple(form.content_types[0] for form in _FORMATS if form.encodes)
_DECODABLE: Final = tuple(form.content_types[0] for form in _FORMATS)


@lru_cache(maxsize=256)
def find(content_type: str) -> Codec | None:
    """The format of a Content-Type, whatever its case and parameters; None if there is none."""
    form = _BY_CONTENT_TYPE.get(content_types.parse(content_type).name)
    return None if form is None else _load(form.module)


def encodable() -> tuple[str, ...]:
    """Canonical names of the content types that can be written, favourite first."""
    return _ENCODABLE


def decodable() -> tuple[str, ...]:
    """Canonical names of the content types that can be read, favourite first."""
    return _DECODABLE


@cache
def _load(module: str) -> Codec:
    form = import_module(f"{__name__}.{module}")
    return Codec(
        name=module,
        content_types=form.CONTENT_TYPES,
        decode=form.decode,
        encode=getattr(form, "encode", None),
    )
