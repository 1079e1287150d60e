"""What a client says about a model that is to be loaded: ``POST /models``.

By query or by JSON body, in the words of Multi Model Server's management interface. What cannot be
loaded, whatever it is, is refused here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._parsers import MOST_REQUESTS, MOST_SECONDS, MOST_WORKERS
from sagemaker_inference._supervisor.management_error import (
    BAD_REQUEST,
    NOT_FOUND,
    ManagementError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

_FORM: Final = '{"model_name": "NAME", "url": "/DIRECTORY"} as application/json'
_UNREADABLE: Final = f"The body cannot be read; send {_FORM}"
# With four bytes a character, each percent-encoded, it has to fit a request line.
_LONGEST_NAME: Final = 3000
# The interpreter that the server runs in; others would be looked for on PATH.
_RUNTIME: Final = "python"
_MANIFEST: Final = Path("MAR-INF", "MANIFEST.json")
_UNSET: Final = -1
# Milliseconds; what Multi Model Server waits where nobody says otherwise.
_BATCH_DELAY: Final = 100
# Parameters that messages name, in place of the variables that they override.
WORKERS, TIMEOUT, BATCH_SIZE = "initial_workers", "response_timeout", "batch_size"
_MOST: Final = {
    WORKERS: MOST_WORKERS,
    TIMEOUT: MOST_SECONDS,
    BATCH_SIZE: MOST_REQUESTS,
    "max_batch_delay": MOST_SECONDS * 1000,
}


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A model, and how it is to be served.

    Attributes:
        name: what it is called from now on.
        url: where it is, as the client says it.
        path: where it is: an absolute path.
        handler: a handler service, or "" for the program in its folder.
        version: what its manifest says, or "".
        workers: how many; None for as many as is usual.
        batch_size: most requests of a batch; 1 leaves that to the program.
        batch_delay: milliseconds to wait for more.
        timeout: seconds a prediction may take; None for the usual ones.
        is_synchronous: whether the client waits until it is loaded.
    """

    name: str
    url: str
    path: str
    handler: str = ""
    version: str = ""
    workers: int | None = None
    batch_size: int = 1
    batch_delay: int = _BATCH_DELAY
    timeout: int | None = None
    is_synchronous: bool = True


def read(query: Mapping[str, str], content_type: str, body: bytes) -> LoadRequest:
    """Read it from a JSON body, or without one from the query.

    Raises:
        ManagementError: it cannot be read, or nothing that it asks for can be loaded.
    """
    is_json = content_types.parse(content_type).name == content_types.JSON
    fields = _from_json(body) if is_json else dict(query)
    try:
        name, url, handler = (_text(fields, key) for key in ("model_name", "url", "handler"))
        workers, timeout, batch_size, batch_delay = (_number(fields, key) for key in _MOST)
    except ValueError as error:
        raise ManagementError(BAD_REQUEST, str(error)) from None
    if not url:
        _refuse(f"The model's url is missing; send {_FORM}")
    if "://" in url:
        _refuse(f"url has to be a directory on this machine: {url}")
    timeout = None if timeout == _UNSET else timeout
    for key, value in zip(_MOST, (workers, timeout, batch_size, batch_delay), strict=True):
        least = 1 if key == TIMEOUT else 0
        if value is not None and not least <= value <= _MOST[key]:
            _refuse(f"{key} has to be from {least} to {_MOST[key]}, and is {value}")
    if fields.get("runtime") not in (None, _RUNTIME):
        _refuse(f"runtime has to be {_RUNTIME}")
    _check_name(name)
    path = _directory(url)
    manifest = _manifest(path)
    name = name or manifest.get("modelName", "")
    if not name:
        _refuse(f"model_name is missing; send {_FORM}")
    _check_name(name)
    return LoadRequest(
        name=name,
        url=url,
        path=path,
        handler=handler or manifest.get("handler", ""),
        version=manifest.get("modelVersion", ""),
        workers=workers,
        batch_size=batch_size or 1,
        batch_delay=_BATCH_DELAY if batch_delay is None else batch_delay,
        timeout=timeout,
        is_synchronous=flag(fields, "synchronous", default=True),
    )


def _refuse(message: str, status: int = BAD_REQUEST) -> NoReturn:
    raise ManagementError(status, message)


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        _refuse(_UNREADABLE)
    return fields


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A field's text, "" where there is none.

    Raises:
        ValueError: it is not a text.
    """
    value = fields.get(name)
    if isinstance(value, (dict, list, bool)):
        message = f"{name} has to be a text"
        raise ValueError(message)  # noqa: TRY004 - of a client's, not of a caller's
    return "" if value is None else str(value)


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    """A field's number, None where there is none.

    Raises:
        ValueError: it is not a whole number that a client of Java's could mean.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, (int, str)) or isinstance(value, bool) or not _is_int(value):
        message = f"{name} has to be a whole number, and is {value!r:.40}"
        raise ValueError(message)
    return int(value)


def _is_int(value: int | str) -> bool:
    try:
        return abs(int(value)) < 2**31
    except ValueError:
        return False


def flag(fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A field that is "true" in any case, or not."""
    value = fields.get(name)
    return default if value is None else str(value).lower() == "true"


def _check_name(name: str) -> None:
    """See that a model will be found at its own URL.

    Raises:
        ManagementError: it would not.
    """
    if "/" in name:
        _refuse(f"model_name has a slash: {name}")
    try:
        quoted = quote(name, safe="")
    except UnicodeEncodeError:
        quoted = "\0"
    if "\0" in (quoted, *name):
        _refuse("model_name has a character that cannot be used")
    if len(quoted) > _LONGEST_NAME:
        _refuse("model_name is too long")


def _directory(url: str) -> str:
    """The directory of a model.

    Raises:
        ManagementError: it is not there, or not for this server's user.
    """
    if ".." in Path(url).parts:
        _refuse(f"Relative path is not allowed in url: {url}", NOT_FOUND)
    path = Path("/", url)
    try:
        is_usable = path.is_dir() and os.access(path, os.X_OK)
    except (OSError, ValueError):  # among them a null byte, and a name that is too long
        is_usable = False
    if not is_usable:
        _refuse(f"No such directory, or no access to it: {url}", NOT_FOUND)
    return str(path)


def _manifest(path: str) -> dict[str, str]:
    """What an unpacked model archive of Multi Model Server's says about its model."""
    file = Path(path, _MANIFEST)
    try:
        text = file.read_bytes()
    except OSError:
        return {}
    try:
        model = json.loads(text)["model"]
        return {name: value for name, value in model.items() if isinstance(value, str)}
    except (ValueError, LookupError, TypeError, AttributeError):
        message = f"{file} is not a manifest of a model archive"
        raise ManagementError(BAD_REQUEST, message) from None
