"""The files, folders and addresses that lines of requirements name, as pip looks at them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from sagemaker_inference._cli._checks.rules import shown
from sagemaker_inference._cli._command import needed

if TYPE_CHECKING:
    from pathlib import Path

# How the names of files end that pip installs without a folder before them.
ARCHIVES: Final = (
    *(".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz"),
    *(".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma"),
)
# NAME @ ADDRESS.
NAMED: Final = re.compile(r"([\w.-]+)\s*(?:\[[^\]]*\]\s*)?@")
_ADDRESS: Final = re.compile(r"[a-z][a-z+]+:", re.IGNORECASE)
# With which pip compares what it downloads.
_FRAGMENT: Final = re.compile(r"#(?:[^#]*&)?(?:md5|sha1|sha224|sha256|sha384|sha512)=")


def without_extras(text: str) -> str:
    """A requirement without the brackets at its end."""
    name = text.strip()
    return name.rpartition("[")[0] if name.endswith("]") else name


def is_elsewhere(asked: str) -> bool:
    """Whether a requirement is a file, a folder or an address, as pip tells them apart."""
    # Markers and extras come behind, and may have any text.
    name = without_extras(asked.partition(";")[0])
    return name.startswith(".") or "/" in name or name.lower().endswith(ARCHIVES)


def has_hash(asked: str) -> bool:
    """Whether an address says what its file hashes to."""
    return _FRAGMENT.search(asked) is not None


def problem_of(asked: str, folder: Path, *, is_constraint: bool) -> tuple[str, str]:
    """Why pip cannot install a file, a folder or an address, and what to do; "" where it may.

    Args:
        asked: what the line asks for, with its marker; no variables are in it.
        folder: where pip is started.
        is_constraint: whether it only limits versions.
    """
    text, _, marker = asked.partition(";")
    text = without_extras(text)
    named = NAMED.match(text)
    location = text[named.end() :].strip() if named else text
    is_address = _ADDRESS.match(location) is not None
    try:
        name = os.path.basename(unquote(urlsplit(location).path) if is_address else location)  # noqa: PTH119 - of POSIX, and any text
    except ValueError as error:
        return f"{shown(location)} is not an address: {error}", "Correct it."
    if name.endswith(".whl"):
        packaging = needed("packaging.utils")
        try:
            packaging.parse_wheel_filename(name)
        except packaging.InvalidWheelFilename:
            what = f"{shown(name)} is not the name of a wheel"
            return what, "Keep the name that it was built with: NAME-VERSION-py3-none-any.whl"
    # Others are those of the container. Of those with a marker, pip may need none.
    if is_address or location.startswith("/") or is_constraint or marker.strip():
        return "", ""
    if os.path.exists(folder / location):  # noqa: PTH110 - it takes any name
        return "", ""
    return f"there is no file {shown(location)}", "Put it there: paths begin in this file's folder."
