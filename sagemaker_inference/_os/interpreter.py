"""Commands that run modules of this package in fresh interpreters, on any system."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """What is left of a process.

    Attributes:
        code: its exit code.
        output: what it has written to its standard output.
        log: the same of its standard error.
    """

    code: int
    output: str
    log: str


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``main(sys.argv)`` of one of our modules in a fresh interpreter.

    ``python -m`` would put the working directory before the standard library, and a user's file
    that is named like one of its modules would be imported instead.
    """
    root = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path[:1] = []; sys.path.append({root!r}); "
        f"from {module} import main; sys.exit(main(sys.argv))"
    )
    return [sys.executable, "-c", code, *arguments]


def run_module(module: str, *arguments: str, timeout: float | None = None) -> Ended:
    """Run ``main(sys.argv)`` of one of our modules in a fresh interpreter.

    It is waited for alone: a user's program may have started processes that go on, and that keep
    its standard output and error open. That is why both are files, and not pipes.

    Args:
        module: the module.
        *arguments: its arguments.
        timeout: after how many seconds it is ended; None for never.

    Raises:
        TimeoutExpired: it was ended.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            python_command(module, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            # As it is read here, whatever the machine's encoding is.
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=timeout,
            check=False,
        )
        texts = []
        for file in (output, log):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return Ended(done.returncode, *texts)
