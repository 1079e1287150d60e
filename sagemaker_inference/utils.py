"""The five helpers of AWS's toolkit, for handler services that import them; nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker_inference._aws import script_functions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    # What open() takes, which containers pass and their tests watch; pathlib takes no descriptors.
    File = str | bytes | PathLike[str] | PathLike[bytes] | int


def read_file(path: File, mode: str = "r") -> Any:
    """The contents of a file: str, or bytes if the mode has a ``b``.

    >>> read_file("/dev/null")
    ''
    """
    with open(path, mode) as file:  # noqa: PTH123 - see File
        return file.read()


def write_file(path: File, data: Any, mode: str = "w") -> None:
    """Write a file.

    >>> write_file("/dev/null", b"bytes", "wb")
    """
    with open(path, mode) as file:  # noqa: PTH123 - see File
        file.write(data)


def retrieve_content_type_header(request_property: Mapping[str, Any]) -> Any:
    """The Content-Type among request headers, case-insensitive; None if there is none.

    ``ContentType`` counts as well, but not names that only start alike (``Content-Type-Options``).

    >>> retrieve_content_type_header({"content-TYPE": "text/csv"})
    'text/csv'
    """
    for name, value in request_property.items():
        if name.lower() in ("content-type", "contenttype"):
            return value
    return None


def parse_accept(accept: str) -> list[str]:
    """The types of an Accept header, most preferred first, without their quality.

    Types with ``q=0`` are omitted.

    >>> parse_accept("text/csv;q=0.5, application/json")
    ['application/json', 'text/csv']
    """
    return script_functions.preferences(accept)


def remove_crlf(illegal_string: str | None) -> str:
    r"""The text as a reason phrase: ASCII, with a space for each line break; "" for None.

    MMS's front end permanently closes the connection to a worker that sends anything else.

    >>> remove_crlf("two\nlines")
    'two lines'
    """
    text = (illegal_string or "").replace("\r", " ").replace("\n", " ")
    return text.encode("ascii", "replace").decode()
