"""Java's class-data archive: the front end's classes, read and verified once instead of every time.

A start spends most of its time on that. An archive belongs to one build of Java and the jars; it is
made when an image is built, and lies in this package's folder, so that whoever may change the
archive may change the code as well. Java checks for itself that an archive fits, and where it does
not, starts as without.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER: Final = Path(__file__).parents[2] / "etc"
# As -XX:DumpLoadedClassList writes it, of a server that has answered a few requests.
_CLASSES: Final = _FOLDER / "classes.txt"
_DUMP_SECONDS: Final = 120
_LAST_LINES: Final = 5
_READABLE: Final = 0o644


def find(java: str, jars: str) -> str | None:
    """The archive for this Java and these jars; None where there is none."""
    for path in _FOLDER.glob(f"{_name(java, jars)}-*.jsa"):
        # Java would be killed by reading beyond the end of one that was cut off.
        if path.stem.endswith(f"-{path.stat().st_size}"):
            return str(path)
    return None


def make(java: str, flags: Sequence[str], jars: str) -> Path:
    """Make the archive anew; returns where it is.

    Args:
        java: the path of Java's launcher.
        flags: what the front end is started with, as far as it decides which archives fit.
        jars: the front end's class path.

    Raises:
        StartError: it could not be made; an older one is still there.
    """
    name = _name(java, jars)
    try:
        # Servers may be starting at this moment: they see a whole archive or none.
        with tempfile.TemporaryDirectory(dir=_FOLDER, prefix=".making-") as folder:
            made = Path(folder, f"{name}.jsa")
            command = [
                *(java, "-Xshare:dump", *flags, f"-XX:SharedClassListFile={_CLASSES}"),
                # With its usual heap on a large machine, Java packs pointers in another way.
                *(f"-XX:SharedArchiveFile={made}", "-Xmx256m", "-cp", jars),
            ]
            done = subprocess.run(  # noqa: S603 - the Java that serves
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_DUMP_SECONDS,
            )
            if not made.is_file():
                lines = "".join(f"\n    {line}" for line in done.stdout.splitlines()[-_LAST_LINES:])
                message = f"{java} made no archive of classes. Its last lines:{lines or ' none'}"
                raise StartError(message)
            made.chmod(_READABLE)
            target = _FOLDER / f"{name}-{made.stat().st_size}.jsa"
            made.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"no archive of classes could be made in {_FOLDER}: {error}"
        raise StartError(message) from None
    return target


def _name(java: str, jars: str) -> str:
    launcher = os.path.realpath(java)
    found = [(jar, (at := Path(jar).stat()).st_size, at.st_mtime_ns) for jar in jars.split(":")]
    release = Path(launcher).parent.parent / "release"
    build = release.read_bytes() if release.is_file() else b""
    key = f"{launcher} {found}".encode() + build
    return f"classes-{hashlib.sha256(key).hexdigest()[:16]}"
