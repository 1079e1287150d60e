"""Makes the jar from the sources beside this file: ``python java/build.py``.

It needs a JDK (javac) of `JAVAC` and the package multi-model-server. The jar lies in the
repository, since users have no compiler; tests/unit/test_jar.py sees to it that it was made from
these sources, and where there is such a JDK, that it is made of them byte by byte.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from sagemaker_inference._frontends.mms import launcher

SOURCES: Final = sorted(Path(__file__).parent.glob("sagemaker_inference/*.java"))
JAR: Final = Path(__file__).parent.parent / "sagemaker_inference" / "etc" / "frontend.jar"
# Other releases write other bytes, which do the same.
JAVAC: Final = 17
# What is not in a jar depends on nothing but the sources: no dates, no order of a file system.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
DIGEST: Final = "sagemaker_inference/sources.sha256"


def digest() -> str:
    """A number that stands for the sources."""
    found = hashlib.sha256()
    for source in SOURCES:
        found.update(f"{source.name} {source.stat().st_size}\n".encode() + source.read_bytes())
    return found.hexdigest()


def compiled(folder: Path) -> dict[str, bytes]:
    """Classes by their names in the jar.

    Args:
        folder: an empty directory.
    """
    command = [
        *("javac", "--release", str(launcher.OLDEST_JAVA), "-d", str(folder)),
        # Of annotations, and of classes, that Multi Model Server was compiled with and that its jar
        # does not have.
        *("-Xlint:all,-processing,-classfile", "-Werror", "-cp", launcher.find_jar()),
        *map(str, SOURCES),
    ]
    subprocess.run(command, check=True)  # noqa: S603 - the JDK of whoever runs this
    classes = sorted(folder.rglob("*.class"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in classes}


def main() -> None:
    """Make the jar."""
    if shutil.which("javac") is None:
        sys.exit(f"javac is not on PATH. Install a JDK {JAVAC}.")
    with tempfile.TemporaryDirectory() as folder:
        files = {DIGEST: digest().encode(), **compiled(Path(folder))}
    with zipfile.ZipFile(JAR, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, data in files.items():
            jar.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    print(JAR, JAR.stat().st_size, "bytes")  # noqa: T201 - the result of a command


if __name__ == "__main__":
    main()
