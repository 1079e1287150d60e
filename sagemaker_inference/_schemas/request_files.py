"""Files of requests: their content types, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference import _content_types as content_types

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TYPES: Final = {
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": content_types.CSV,
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": content_types.JSON,
    "jsonl": "application/jsonlines",
    "libsvm": "text/libsvm",
    "npy": content_types.NPY,
    "npz": content_types.NPZ,
    "parquet": "application/x-parquet",
    "pbr": "application/x-recordio-protobuf",
    "png": "image/png",
    "recordio": "application/x-recordio-protobuf",
    "txt": "text/plain",
}
_STEM: Final = "request"


class Sample(NamedTuple):
    """A request in a file."""

    path: Path
    content_type: str


def type_of(path: Path, types: Sequence[str] = ()) -> str:
    """The content type of a file by its name; "" if the name says nothing.

    Args:
        path: the file.
        types: types of a program, of which one may end like the file's name: "text/x-points".
    """
    suffix = path.suffix.removeprefix(".").lower()
    if not suffix:
        return ""
    for one in types:
        if one.rpartition("/")[2].removeprefix("x-") == suffix:
            return one
    return _TYPES.get(suffix, "")


def name_of(content_type: str) -> str:
    """The name of a file with a request of this type; "" for a type without a usual ending."""
    ending = next((ending for ending, name in _TYPES.items() if name == content_type), "")
    return f"{_STEM}.{ending}" if ending else ""


def samples_beside(folder: Path, types: Sequence[str]) -> list[Sample]:
    """The files `request.*` in a folder.

    Args:
        folder: the folder of the program.
        types: as for `type_of`.
    """
    found = ((path, type_of(path, types)) for path in sorted(folder.glob(f"{_STEM}.*")))
    return [Sample(path, content_type) for path, content_type in found if content_type]
