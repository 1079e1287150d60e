"""Forms as clients send them: fields and files in one body."""

from __future__ import annotations

import mimetypes
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._schemas.request_files import type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    Content: TypeAlias = "bytes | str | os.PathLike[str] | IO[bytes]"
    # What is sent, perhaps with its name, and with its Content-Type.
    File: TypeAlias = (
        "Content | tuple[str | None, Content] | tuple[str | None, Content, str | None]"
    )
    Files: TypeAlias = "Mapping[str, File | Sequence[File]] | Sequence[tuple[str, File]]"

# As browsers escape what would end a name, https://html.spec.whatwg.org/#multipart-form-data
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_TEXTS: Final = (str, bytes, int, float)


class Part(NamedTuple):
    """A field or a file of a form.

    Attributes:
        name: its name.
        value: its bytes.
        filename: the name of a file; None of a field.
        content_type: its Content-Type; "" for none.
    """

    name: str
    value: bytes
    filename: str | None = None
    content_type: str = ""


def is_form_of(data: Any, content_type: str | None, files: Files | None) -> bool:
    """Whether a request is a form that is still to be written."""
    is_form = content_type is not None and content_types.is_form(content_type)
    return files is not None or (is_form and isinstance(data, Mapping))


def form_of(data: Any, content_type: str | None, files: Files | None) -> tuple[bytes, str]:
    """The body of a form, and its Content-Type.

    Args:
        data: the fields by name, or None. Several values of one name are a list.
        content_type: the Content-Type that is asked for; JSON, the default of requests, for none.
        files: the files by name, or pairs of both.

    Raises:
        TypeError: a field is neither text nor a number, or a file cannot be sent.
        ValueError: no files can be sent by this Content-Type.
    """
    if not isinstance(data, (Mapping, type(None))):
        message = f"beside files, data is a dict of the fields of the form, not {data!r:.100}"
        raise TypeError(message)
    parts = [
        Part(name, _text(name, value))
        for name, values in (data or {}).items()
        for value in _listed(values)
    ]
    kind, parameters = content_types.parse(content_type or content_types.MULTIPART)
    if kind == content_types.FORM and files is None:
        return urlencode([part[:2] for part in parts]).encode(), content_type or kind
    if kind not in (content_types.MULTIPART, content_types.JSON):
        message = f"files are sent as {content_types.MULTIPART}, and not as {content_type}"
        raise ValueError(message)
    parts += [file_part(name, file) for name, file in _pairs(files or {})]
    return multipart(parts, parameters.get("boundary", ""))


def file_part(name: str, file: Any) -> Part:
    """The part of a form for a file.

    Raises:
        TypeError: it is not one.
    """
    named: tuple[Any, ...] = file if isinstance(file, tuple) else (_name_of(file), file)
    filename, content, kind, *more = named + (None,) * (3 - len(named))
    value = content
    if isinstance(content, os.PathLike):
        value = Path(content).read_bytes()
    elif hasattr(content, "read"):
        value = content.read()
    value = value.encode() if isinstance(value, str) else value
    if more or not isinstance(value, (bytes, bytearray, memoryview)):
        message = (
            f"the file {name!r} cannot be sent: pass bytes, a path, an open file, or one of them "
            f"as in ('a.png', content, 'image/png'), not {file!r:.100}"
        )
        raise TypeError(message)
    # A part without a name of a file is a field, whatever its type.
    guessed = "" if filename is None else _type_by(filename)
    return Part(name, bytes(value), filename, guessed if kind is None else kind)


def multipart(parts: Iterable[Part], boundary: str = "") -> tuple[bytes, str]:
    """The body of a multipart form, and its Content-Type.

    Args:
        parts: the fields and files, in their order.
        boundary: what stands between them; by default something random.
    """
    boundary = boundary or secrets.token_hex(16)
    pieces: list[bytes] = []
    for part in parts:
        head = f'Content-Disposition: form-data; name="{part.name.translate(_ESCAPES)}"'
        if part.filename is not None:
            head += f'; filename="{part.filename.translate(_ESCAPES)}"'
        head += f"\r\nContent-Type: {part.content_type}" if part.content_type else ""
        pieces += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), part.value, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"{content_types.MULTIPART}; boundary={boundary}"


def _text(name: str, value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        value = "" if value is None else str(value).lower()
    if not isinstance(value, _TEXTS):
        message = (
            f"the field {name!r} of the form is a text or a number, not {value!r:.100}; send JSON "
            f"as files={{{name!r}: (None, text, 'application/json')}}"
        )
        raise TypeError(message)
    return value if isinstance(value, bytes) else str(value).encode()


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _pairs(files: Files) -> Iterator[tuple[str, Any]]:
    for name, values in files.items() if isinstance(files, Mapping) else files:
        yield from ((name, file) for file in _listed(values))


def _name_of(content: Any) -> str:
    """The name of a file that was passed without one."""
    path = content if isinstance(content, os.PathLike) else getattr(content, "name", None)
    # An open file may have a number for a name.
    return Path(path).name if isinstance(path, (str, os.PathLike)) else "upload"


def _type_by(filename: str) -> str:
    guessed = type_of(Path(filename)) or mimetypes.guess_type(filename)[0]
    return guessed or content_types.OCTET_STREAM
