"""A file that a client has sent: a body, or a part of a form."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from sagemaker_inference import _budget

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Part
    from sagemaker_inference.codecs import Body

# RFC 2397, as browsers write files into JSON.
# As JSON calls them.
_JSON_NAMES: Final[dict[type, str]] = {dict: "object", list: "array", type(None): "null"}
_DATA_URL: Final = re.compile(r"data:([^,;]*)[^,]*;base64,", re.IGNORECASE)
_LONGEST_HEAD: Final = 1000


class Upload:
    r"""A file that a client has sent: the annotation of a body, or of a part of a form.

    >>> from sagemaker_inference import Registry, Upload
    >>> from sagemaker_inference.testing import TestClient
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: None)
    >>> @registry.predictor
    ... def predict(file: Upload, model):
    ...     return [file.filename, file.content_type, file.size, file.file.readline().decode()]
    >>> headers = {"Content-Disposition": 'attachment; filename="a.csv"'}
    >>> with TestClient(registry) as client:
    ...     client.invoke("a,b\n1,2\n", content_type="text/csv", headers=headers).json()
    ['a.csv', 'text/csv', 8, 'a,b\n']

    Args:
        data: its bytes.
        filename: the client's name for it.
        content_type: its Content-Type.

    Attributes:
        filename: the client's name for it, without folders and control characters; None if it has
            sent none. Two files may have the same, and it may be any: never open it as it is.
        content_type: the Content-Type as sent, "" without one; it need not be true.
        data: its bytes, without a copy.
    """

    __slots__ = ("_file", "content_type", "data", "filename")

    def __init__(self, data: Body, filename: str | None = None, content_type: str = "") -> None:
        self.filename = filename
        self.content_type = content_type
        self.data = data
        self._file: BinaryIO | None = None

    @classmethod
    def from_part(cls, part: Part) -> Upload:
        """The file in a part of a form."""
        return cls(part.value, part.filename or None, part.content_type)

    @classmethod
    def from_text(cls, text: str) -> Upload:
        """The file in a text of JSON: base64, or a ``data:`` URL with base64.

        Raises:
            ValueError: it is neither.
        """
        match = _DATA_URL.match(text[:_LONGEST_HEAD])
        start = match.end() if match else 0
        _budget.of(text).take(len(text) - start, "base64")
        try:
            data = base64.b64decode(text[start:], validate=True)
        except (binascii.Error, ValueError):
            message = "expected a file in base64"
            raise ValueError(message) from None
        return cls(data, None, match[1] if match else "")

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.data)

    @property
    def file(self) -> BinaryIO:
        """A stream of its bytes, read only, for libraries that take files: always the same one."""
        if self._file is None:
            self._file = _ReadOnly(self.data)
        return self._file

    def read(self) -> bytes:
        """All of its bytes, whatever was read from `file`."""
        return bytes(self.data)

    def __repr__(self) -> str:
        return f"Upload({self.filename!r}, {self.content_type!r}, {self.size} bytes)"

    # What pydantic asks of a class that is none of its own.

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls._validated)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, str]:
        return {"type": "string", "contentEncoding": "base64"}

    @classmethod
    def _validated(cls, value: Any) -> Upload:
        return as_upload(value)


def as_upload(value: Any) -> Upload:
    """A value of a form or of JSON as a file.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, Upload):
        return value
    if isinstance(value, str):
        return Upload.from_text(value)
    kind = type(value)
    message = f"expected a file, got {_JSON_NAMES.get(kind, kind.__name__)}"
    raise ValueError(message)


class _ReadOnly(io.BytesIO):
    def writable(self) -> bool:
        return False

    def write(self, _data: Any, /) -> NoReturn:
        message = "an upload cannot be written to"
        raise io.UnsupportedOperation(message)

    def writelines(self, _lines: Any, /) -> NoReturn:
        self.write(b"")

    def truncate(self, _size: int | None = None, /) -> NoReturn:
        self.write(b"")
