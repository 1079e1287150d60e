"""What the documentation shows of a terminal: its commands run, and print what it says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from support.documents import ANYTHING, blocks
from support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

# For a few starts of a server, on a busy machine.
_SESSION_SECONDS: Final = 300
_MARK: Final = "---- next ----"


def _rounded(text: str) -> str:
    """A text whose long numbers have no last digits, which depend on numpy's release."""
    return re.sub(r"\d\.\d{12,}(e-\d+)?", lambda number: f"{float(number[0]):.12g}", text)


def commands_in(folder: Path) -> str:
    """Write the commands of an environment with this package into a folder; returns a `PATH`."""
    folder.mkdir()
    for name, module in (("python", ""), ("sagemaker-inference", "-m sagemaker_inference")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        command.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def is_as_shown(printed: str, wanted: str) -> bool:
    """Whether a terminal shows what a page says; `ANYTHING` stands for some text, or for lines."""
    pattern = re.escape(_rounded(wanted)).replace("\\\n", "\n")
    pattern = pattern.replace(f"\n{re.escape(ANYTHING)}\n", "\n(?:.*\n)*")
    pattern = pattern.replace(re.escape(ANYTHING), ".*")
    return re.fullmatch(pattern, _rounded(printed)) is not None


def as_a_script(documents: list[Path], mark: str) -> tuple[str, list[tuple[str, str]]]:
    """The files and commands of pages as one script, and what each command has to print.

    The script prints a mark before what each command prints.
    """
    lines, exchanges = ["exec 2>&1"], []
    for block in (block for path in documents for block in blocks(path)):
        named = re.search(r"as\s+`([\w./-]+)`(?: again|, beside [^:]*)?:\s*$", block.lead)
        if named:
            lines.append(
                f"mkdir -p $(dirname {named[1]}); cat > {named[1]} << '{mark}'\n{block.text}{mark}"
            )
        elif block.language == "console":
            for exchange in block.text.split("$ ")[1:]:
                command, _, wanted = exchange.partition("\n")
                lines += [f"echo '{mark}'", command]
                exchanges.append((command, wanted))
    return "\n".join(lines), exchanges


def check_session(pages: list[Path], folder: Path, path: str) -> None:
    """Write the files and run the commands of pages, with servers in the background.

    Args:
        pages: Markdown files that follow each other.
        folder: where the commands run.
        path: what `commands_in` has returned.
    """
    script, wanted = as_a_script(pages, _MARK)
    server, emulator = str(free_port()), str(free_port())
    script = script.replace(":8080", f":{server}").replace("8181", emulator)
    with subprocess.Popen(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "SAGEMAKER_BIND_TO_PORT": server},
        stdout=subprocess.PIPE,
        text=True,
        # What it has started is ended with it.
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_SESSION_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    printed = output.split(f"{_MARK}\n")[1:]
    for (line, shown), got in zip(wanted, printed, strict=True):
        # After a body without a line end, a terminal shows the next prompt.
        assert is_as_shown(got, shown) or is_as_shown(f"{got}\n", shown), (line, got)
