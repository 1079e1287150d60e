"""Java's class data: what a training run has recorded, so that later starts take half the time.

From release 25 on it is an AOT cache: classes, loaded and linked, with notes on how their code is
used. Older releases have an archive of classes. It fits one build of Java, the jars and the flags
that it was made with; Java checks that itself, and starts as without where it does not.

It lies in this package's folder, where ``sagemaker-inference prepare`` puts it when an image is
built, or in the user's cache folder, where a server puts it on a machine that is not a container.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import training
from sagemaker_inference._frontends.mms.java import Java
from sagemaker_inference._os import user_cache
from sagemaker_inference._os.container import is_container
from sagemaker_inference._os.interpreter import python_command

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE_FOLDER: Final = Path(__file__).parents[2] / "etc" / "class_data"
# For the training run, and again for making the data of what it has recorded: five seconds of a
# processor together. In the background of a busy machine that takes minutes.
_SECONDS: Final = 300
_BACKGROUND_SECONDS: Final = 1800
_AOT_CACHE_SINCE: Final = 25
_UNFINISHED: Final = ".unfinished-"
_LOCK: Final = ".lock"
_READABLE: Final = 0o644
_LOWEST_PRIORITY: Final = 19


class _Kind(NamedTuple):
    """A kind of class data; the flags have places for the paths of what is recorded and made."""

    suffix: str
    record: tuple[str, ...]
    make: tuple[str, ...]
    use: tuple[str, ...]


_AOT_CACHE: Final = _Kind(
    suffix="aot",
    # Java can do both steps at the end of the run, in a process that would outlive this one.
    record=("-XX:AOTMode=record", "-XX:AOTConfiguration={recorded}"),
    make=("-XX:AOTMode=create", "-XX:AOTConfiguration={recorded}", "-XX:AOTCache={made}"),
    # It warns where the data does not fit, and of what it leaves out.
    use=("-XX:AOTCache={made}", "-Xlog:aot*=off"),
)
_ARCHIVE: Final = _Kind(
    suffix="jsa",
    record=("-XX:DumpLoadedClassList={recorded}",),
    make=("-Xshare:dump", "-XX:SharedClassListFile={recorded}", "-XX:SharedArchiveFile={made}"),
    use=("-XX:SharedArchiveFile={made}",),
)


def find(java: Java, jars: str, *, cached: bool) -> list[str]:
    """The flags that have Java use its class data; none where there is no data.

    Args:
        java: the virtual machine.
        jars: the front end's class path.
        cached: whether to look into the user's cache folder, too.
    """
    path = _find_in(_PACKAGE_FOLDER, java, jars)
    folder = user_cache.find_folder() if cached and path is None else None
    if folder is not None:
        path = _find_in(folder, java, jars)
        if path is not None and not user_cache.is_private(path):
            return []
    return [] if path is None else [flag.format(made=path) for flag in _kind(java).use]


def make(java: Java, jars: str) -> Path:
    """Make the class data anew, in this package's folder; returns where it is.

    Raises:
        StartError: it could not be made; an older one is still there.
    """
    try:
        _PACKAGE_FOLDER.mkdir(exist_ok=True)
        with _locked(_PACKAGE_FOLDER, fcntl.LOCK_EX):
            return _make_in(_PACKAGE_FOLDER, java, jars, _SECONDS)
    except (OSError, training.TrainingError) as error:
        message = f"no class data could be made in {_PACKAGE_FOLDER}: {error}"
        raise StartError(message) from None


def background_command(java: Java, jars: str) -> list[str] | None:
    """What makes class data in the user's cache folder; None where that is not to be done.

    It is not where there is class data already, in a container, whose files are gone when it ends,
    and where there is no folder that belongs to this user alone.
    """
    if find(java, jars, cached=True) or is_container():
        return None
    folder = user_cache.make_folder()
    if folder is None or ":" in str(folder):  # Java separates paths by colons
        return None
    return python_command(__name__, java.path, str(java.version), jars, str(folder))


def main(argv: list[str]) -> int:
    """Make class data in a folder, with the lowest priority and without a word.

    Args:
        argv: behind the program's name: the path of Java's launcher, its version, the class path,
            the folder.
    """
    os.nice(_LOWEST_PRIORITY)
    _, path, version, jars, folder = argv
    java = Java(path, int(version))
    try:
        # Another server may be at it.
        with _locked(Path(folder), fcntl.LOCK_EX | fcntl.LOCK_NB):
            if _find_in(Path(folder), java, jars) is None:
                _make_in(Path(folder), java, jars, _BACKGROUND_SECONDS)
    except (OSError, training.TrainingError):
        return 1
    return 0


def _kind(java: Java) -> _Kind:
    return _AOT_CACHE if java.version >= _AOT_CACHE_SINCE else _ARCHIVE


def _find_in(folder: Path, java: Java, jars: str) -> Path | None:
    installation, version = _key(java, jars)
    for path in folder.glob(f"classes-{installation}-{version}-*.{_kind(java).suffix}"):
        # Another process may just have removed it.
        with contextlib.suppress(OSError):
            # Some Javas are killed by reading beyond the end of a file that was cut off.
            if path.stem.endswith(f"-{path.stat().st_size}"):
                return path
    return None


def _make_in(folder: Path, java: Java, jars: str, seconds: float) -> Path:
    """Make the data in a folder that is locked.

    Raises:
        OSError: a file cannot be written.
        TrainingError: Java did not do what it should.
    """
    for left in folder.glob(f"{_UNFINISHED}*"):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    kind = _kind(java)
    installation, version = _key(java, jars)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_UNFINISHED) as unfinished:
        paths = {"recorded": Path(unfinished, "recorded"), "made": Path(unfinished, "made")}

        def flags(templates: tuple[str, ...]) -> list[str]:
            return [template.format(**paths) for template in templates]

        training.run(java, jars, flags(kind.record), seconds)
        command = [
            *(java.path, *java.flags, *flags(kind.make)),
            # With its usual heap on a large machine, Java packs pointers in another way.
            *("-Xmx256m", "-cp", jars),
        ]
        training.run_java(command, Path(unfinished, "log.txt"), seconds)
        size = _store(paths["made"])
        target = folder / f"classes-{installation}-{version}-{size}.{kind.suffix}"
        # Servers may be starting at this moment: they see the whole file or none.
        paths["made"].replace(target)
    for other in folder.glob(f"classes-{installation}-*"):
        if other != target:
            other.unlink(missing_ok=True)
    return target


def _store(path: Path) -> int:
    """Have a file's bytes on the disk, for all to read; returns how many they are."""
    path.chmod(_READABLE)
    with path.open("rb") as file:
        # After a power cut, a file of this size may otherwise hold zeros.
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _key(java: Java, jars: str) -> tuple[str, str]:
    """What tells one installation from others, and one version of it from those before."""
    launcher = os.path.realpath(java.path)
    files = [((at := Path(jar).stat()).st_size, at.st_mtime_ns) for jar in jars.split(":")]
    release = Path(launcher).parent.parent / "release"
    build = release.read_bytes() if release.is_file() else b""
    flags = [java.version, *java.flags, *java.buffer_flags]
    return _digest(f"{launcher} {jars}".encode()), _digest(f"{files} {flags}".encode() + build)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextlib.contextmanager
def _locked(folder: Path, operation: int) -> Iterator[None]:
    """Be the only one that makes class data in a folder.

    Raises:
        OSError: the folder cannot be written, or another process is at it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(folder / _LOCK, flags, 0o600)
    try:
        fcntl.flock(lock, operation)
        yield
    finally:
        os.close(lock)
