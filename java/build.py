"""Build the jar from the sources next to this file: ``python java/build.py``.

Needs a JDK of release `JAVAC` and the package multi-model-server. The jar is in the repository,
since users have no compiler. tests/unit/test_jar.py checks that it was built from these sources,
and, where there is such a JDK, that it holds what they compile to, byte for byte.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._frontends.mms import jar, java

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER: Final = Path(__file__).parent
SOURCES: Final = sorted(_FOLDER.glob("src/**/*.java"))
TESTS: Final = sorted(_FOLDER.glob("test/**/*.java"))
TEST_CLASS: Final = "sagemaker.inference.frontend.Tests"
JAR: Final = _FOLDER.parent / "sagemaker_inference" / "etc" / "frontend.jar"
# Other releases write other bytes, which do the same.
JAVAC: Final = 17
# The jar depends on nothing but the sources: not on dates, nor on the order of a file system.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
DIGEST: Final = "sagemaker/inference/frontend/sources.sha256"


def digest() -> str:
    """Return a checksum of the sources."""
    checksum = hashlib.sha256()
    for source in SOURCES:
        name = source.relative_to(_FOLDER).as_posix()
        checksum.update(f"{name} {source.stat().st_size}\n".encode() + source.read_bytes())
    return checksum.hexdigest()


def compile_classes(
    folder: Path, sources: Sequence[Path] = SOURCES, more_classes: str = ""
) -> dict[str, bytes]:
    """Compile sources; return the classes by their names in a jar.

    Args:
        folder: an empty directory for the class files.
        sources: what to compile.
        more_classes: where classes are that the sources use, besides Multi Model Server's.
    """
    jars = jar.find_jar()
    command = [
        *("javac", "--release", str(java.OLDEST_JAVA), "-d", str(folder)),
        # Without warnings about annotations and classes that Multi Model Server was compiled with
        # and that its jar does not have.
        *("-Xlint:all,-processing,-classfile", "-Werror"),
        *("-cp", f"{more_classes}:{jars}" if more_classes else jars),
        *map(str, sources),
    ]
    subprocess.run(command, check=True)  # noqa: S603 - the JDK of whoever runs this
    classes = sorted(folder.rglob("*.class"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in classes}


def main() -> None:
    """Build the jar."""
    if shutil.which("javac") is None:
        sys.exit(f"javac is not on PATH. Install a JDK {JAVAC}.")
    with tempfile.TemporaryDirectory() as folder:
        files = {DIGEST: digest().encode(), **compile_classes(Path(folder))}
    with zipfile.ZipFile(JAR, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, data in files.items():
            jar.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    print(JAR, JAR.stat().st_size, "bytes")  # noqa: T201 - the result of a command


if __name__ == "__main__":
    main()
