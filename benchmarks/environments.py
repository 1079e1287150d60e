"""A virtual environment for each contender, made once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contender import ON_RAY, OURS

if TYPE_CHECKING:
    from benchmarks.contender import Contender

CHECKOUT: Final = Path(__file__).parent.parent
_STAMP: Final = "installed.txt"


class InstallError(Exception):
    """A contender's environment could not be made; the message is what was last said."""


def prepare(contender: Contender, cache: Path) -> Path:
    """Make a contender's environment, unless it is there and its requirements are the same.

    Returns:
        Its Python.

    Raises:
        InstallError: pip failed, or what follows it.
    """
    requirements = contender.folder / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = cache / f"{contender.name}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    stamp = folder / _STAMP
    if not (stamp.is_file() and stamp.read_text() == digest):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        _pip(python, "install", "--requirement", str(requirements))
        stamp.write_text(digest)
    if contender.name in (OURS, ON_RAY):
        _install_checkout(python, CHECKOUT)
    return python


def prepare_checkout(folder: Path, checkout: Path = CHECKOUT) -> Path:
    """Make an environment for a checkout of this project, with its own dependencies.

    Returns:
        Its Python.

    Raises:
        InstallError: pip failed, or what follows it.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, symlinks=True)
    _install_checkout(python, checkout, with_dependencies=True)
    return python


def _install_checkout(python: Path, checkout: Path, *, with_dependencies: bool = False) -> None:
    """Build a wheel of a checkout and install that: what is measured is what users get."""
    with tempfile.TemporaryDirectory() as folder:
        _pip(python, "wheel", "--no-deps", "--wheel-dir", folder, str(checkout))
        (wheel,) = Path(folder).glob("*.whl")
        if with_dependencies:
            _pip(python, "install", str(wheel))
        _pip(python, "install", "--no-deps", "--force-reinstall", str(wheel))
    # As the Dockerfiles in examples/container do. Not -m: that would find the checkout's package.
    _run(python.with_name("sagemaker-inference"), "prepare")


def versions(python: Path) -> dict[str, str]:
    """What is installed in an environment."""
    listed: list[dict[str, Any]] = json.loads(_pip(python, "list", "--format", "json"))
    return {each["name"].lower().replace("_", "-"): each["version"] for each in listed}


def _pip(python: Path, *words: str) -> str:
    return _run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", *words)


def _run(python: Path, *words: str) -> str:
    done = subprocess.run(
        [python, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line and "WARNING" not in line]
        raise InstallError("\n".join(lines[-5:]))
    return done.stdout
