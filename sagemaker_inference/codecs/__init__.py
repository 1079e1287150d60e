"""Codecs: one format each, a pair of functions, looked up by content type.

Each module of a built-in format can be used alone: ``from sagemaker_inference.codecs import csv``
and then ``csv.decode(body)`` and ``csv.encode(array)``. A module is imported when it is first
needed, so a format whose library is not installed costs nothing and fails only where it is used.

`register` adds formats, or replaces built-in ones.
"""

from __future__ import annotations

from typing import Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._os import shadows
from sagemaker_inference.codecs._catalogue import Body, Catalogue, Codec

__all__ = [
    "Body",
    "Codec",
    "decodable",
    "encodable",
    "fix_for",
    "for_content_type",
    "isolated",
    "register",
]

# Before the first import of orjson.
shadows.refuse_crash()

_default: Final = Catalogue()
register = _default.register
for_content_type = _default.for_content_type
decodable = _default.decodable
encodable = _default.encodable
fix_for = _default.fix_for
isolated = _default.isolated
cached = _default.cached

# In order of preference, in which `encodable` offers them.
register(f"{__name__}.json", content_types.JSON, "text/json")
register(f"{__name__}.csv", content_types.CSV, "application/csv")
register(f"{__name__}.npy", content_types.NPY, "tensor/pt")
register(
    f"{__name__}.jsonlines",
    "application/jsonlines",
    "application/x-ndjson",
    "application/jsonl",
    "application/x-jsonlines",
)
register(f"{__name__}.npz", content_types.NPZ)
register(f"{__name__}.text", content_types.TEXT)
register(
    f"{__name__}.octet_stream",
    content_types.OCTET_STREAM,
    "binary/octet-stream",
    "file-path/raw-bytes",  # the DataSerializer of SageMaker's SDK
)
register(f"{__name__}.recordio", "application/x-recordio-protobuf")
register(f"{__name__}.libsvm", "text/libsvm", "text/x-libsvm", decode_needs="scipy")
register(
    f"{__name__}.parquet",
    "application/x-parquet",
    "application/vnd.apache.parquet",
    decode_needs="pyarrow",
    encode_needs="pyarrow",
)
register(
    f"{__name__}.arrow",
    "application/vnd.apache.arrow.stream",
    decode_needs="pyarrow",
    encode_needs="pyarrow",
)
register(
    f"{__name__}.image",
    "application/x-image",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/jpg",
    encodes=False,
    decode_needs="PIL",
)
register(f"{__name__}.form", content_types.MULTIPART, content_types.FORM, encodes=False)
