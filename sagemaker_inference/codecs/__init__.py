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

from sagemaker_inference import _content_types as content_types
from sagemaker_inference.codecs import _extras

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Body", "Codec", "decodable", "encodable", "find", "mend"]

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
            be read, or the library that writes it is not installed.
    """

    name: str
    content_types: tuple[str, ...]
    decode: Callable[[Body, str], object] | None
    encode: Callable[[object, str], bytes | bytearray | memoryview] | None


class _Format(NamedTuple):
    module: str
    content_types: tuple[str, ...]
    encodes: bool = True
    # Libraries that an installation may lack.
    reads_with: str = ""
    writes_with: str = ""

    @property
    def is_readable(self) -> bool:
        return not self.reads_with or _extras.is_installed(self.reads_with)

    @property
    def is_writable(self) -> bool:
        return self.encodes and (not self.writes_with or _extras.is_installed(self.writes_with))


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
    _Format("libsvm", ("text/libsvm", "text/x-libsvm"), reads_with="scipy"),
    _Format(
        "parquet",
        ("application/x-parquet", "application/vnd.apache.parquet"),
        reads_with="pyarrow",
        writes_with="pyarrow",
    ),
    _Format(
        "arrow",
        ("application/vnd.apache.arrow.stream",),
        reads_with="pyarrow",
        writes_with="pyarrow",
    ),
    _Format(
        "image",
        ("application/x-image", "image/jpeg", "image/png", "image/webp", "image/jpg"),
        encodes=False,
        reads_with="PIL",
    ),
    _Format("form", ("multipart/form-data", "application/x-www-form-urlencoded"), encodes=False),
)
_BY_CONTENT_TYPE: Final = {name: form for form in _FORMATS for name in form.content_types}


@lru_cache(maxsize=256)
def find(content_type: str) -> Codec | None:
    """The format of a Content-Type, whatever its case and parameters; None if there is none.

    One whose library is missing is found: its ``decode`` refuses, and the log says what to install.
    """
    form = _BY_CONTENT_TYPE.get(content_types.parse(content_type).name)
    return None if form is None else _load(form)


def encodable() -> tuple[str, ...]:
    """Canonical names of the content types that can be written here, favourite first."""
    return tuple(form.content_types[0] for form in _FORMATS if form.is_writable)


def decodable() -> tuple[str, ...]:
    """Canonical names of the content types that can be read here, favourite first."""
    return tuple(form.content_types[0] for form in _FORMATS if form.is_readable)


def mend(content_type: str) -> str | None:
    """What to install so that a content type can be written; None if that is not what it lacks."""
    form = _BY_CONTENT_TYPE.get(content_types.parse(content_type).name)
    if form is None or form.is_writable or not form.writes_with:
        return None
    return _extras.mend(form.writes_with, form.content_types[0])


@cache
def _load(form: _Format) -> Codec:
    module = import_module(f"{__name__}.{form.module}")
    return Codec(
        name=form.module,
        content_types=module.CONTENT_TYPES,
        decode=module.decode,
        encode=module.encode if form.is_writable else None,
    )
