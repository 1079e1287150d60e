"""AWS's five helpers, for handler services that import them. Nothing else belongs here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_inference._aws import script_functions

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_file(path: str, mode: str = "r") -> Any:
    """The contents of a file: str, or bytes where the mode has a ``b``."""
    with Path(path).open(mode) as file:
        return file.read()


def write_file(path: str, data: Any, mode: str = "w") -> None:
    """Write a file."""
    with Path(path).open(mode) as file:
        file.write(data)


def retrieve_content_type_header(request_property: Mapping[str, Any]) -> Any:
    """The Content-Type among request headers, whatever its case; None if there is none.

    ``ContentType`` counts too. A name that only begins so (``Content-Type-Options``) does not.
    """
    for name, value in request_property.items():
        if name.lower() in ("content-type", "contenttype"):
            return value
    return None


def parse_accept(accept: str) -> list[str]:
    """The types of an Accept header, the most wanted first, without their quality.

    Types that the client rules out (``q=0``) are left out.
    """
    return script_functions.preferences(accept)


def remove_crlf(illegal_string: str | None) -> str:
    """Make a text fit for a reason phrase: a blank for each line end, ASCII, "" for None.

    MMS's front end closes the connection to a worker that sends anything else, for good.
    """
    text = (illegal_string or "").replace("\r", " ").replace("\n", " ")
    return text.encode("ascii", "replace").decode()
