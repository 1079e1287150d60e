"""Find the user's program. Nothing here imports it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Program:
    """Where the user's program is.

    Attributes:
        module: the dotted name under which it is imported.
        root: the folder that is put first on ``sys.path``.
        path: its file; "" if it is imported by name (``python -m package.inference``).
        code_dir: the model's folder ``code``, which is on ``sys.path`` too; "" if there is none.
        arguments: its ``sys.argv``; empty if it was not started by a command line.
    """

    module: str
    root: str
    path: str = ""
    code_dir: str = ""
    arguments: Sequence[str] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """The program's name in messages."""
        return os.path.relpath(self.path) if self.path else self.module

    @classmethod
    def from_file(cls, path: str) -> Program:
        """The program in a file."""
        resolved = Path(path).resolve()
        return cls(resolved.stem, str(resolved.parent), str(resolved))

    @classmethod
    def from_main(cls) -> Program:
        """The program that runs as ``__main__`` in this process.

        Raises:
            StartError: it has no file that workers could import (a prompt, a notebook).
        """
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            module = spec.name.removesuffix(".__main__")
            return cls(module, str(Path.cwd()), arguments=_command_line())
        path = getattr(main, "__file__", None)
        if path is None or not Path(path).is_file():
            message = (
                "serve(__name__) starts workers that import this program from its file, but it "
                "has no file. Save it as inference.py (in a notebook, by a cell that begins with "
                "%%writefile inference.py) and run: python inference.py"
            )
            raise StartError(message)
        return replace(cls.from_file(path), arguments=_command_line())

    @classmethod
    def from_name(cls, name: str, code_dir: str) -> Program | None:
        """The program that SAGEMAKER_PROGRAM names in the code folder; None if there is none.

        ``inference.py``, ``folder/inference.py``, ``inference``, ``package.module`` and
        ``package`` are valid names.
        """
        for path in (Path(code_dir, name), Path(code_dir, name + ".py")):
            if path.is_file():
                return cls.from_file(str(path))
        dotted = Path(code_dir, name.replace(".", "/"))
        if dotted.with_name(dotted.name + ".py").is_file() or (dotted / "__init__.py").is_file():
            return cls(name, code_dir)
        return None


def _command_line() -> list[str]:
    """``sys.argv`` as it was at the start: a program may have changed it since."""
    words = sys.orig_argv
    file = getattr(sys.modules["__main__"], "__file__", None) or ""
    for index in range(1, len(words)):
        if words[index - 1] == "-m":
            break
        if file and Path(words[index]).resolve() == Path(file).resolve():
            return words[index:]
    if "-m" in words:  # the path of the module's file takes the place of its name
        return [file, *words[words.index("-m") + 2 :]]
    return list(sys.argv)


def search(model_dir: str) -> Program | None:
    """The program that SAGEMAKER_PROGRAM names; None if there is none.

    The model's folder ``code`` comes first, then the folders from which AWS's toolkit would import
    it: the model's folder and ``sys.path``.

    Raises:
        StartError: one of these folders cannot be read.
    """
    code_dir = str(Path(model_dir, "code"))
    name = _variables.PROGRAM.read()
    for folder in (code_dir, model_dir, *sys.path):
        try:
            program = Program.from_name(name, folder) if folder else None
        except PermissionError as error:
            message = f"{folder} cannot be read: {error}. Give the server's user access to it."
            raise StartError(message) from None
        if program is not None:
            return replace(program, code_dir=code_dir)
    return None


def default_model_dir(usual: str, folder: Path) -> str:
    """The folder of the model of a program that does not say where it is.

    Args:
        usual: where SageMaker puts it, which counts if it is there.
        folder: the program's.
    """
    if Path(usual).is_dir():
        return usual
    beside = folder / "model"
    return str(beside if beside.is_dir() else folder)


def is_named() -> bool:
    """Whether a program was asked for; SageMaker's SDK sends "" if there is no entry point."""
    return bool(_variables.PROGRAM.text)


def find(model_dir: str) -> Program:
    """The program that SAGEMAKER_PROGRAM names.

    Raises:
        StartError: there is none.
    """
    program = search(model_dir)
    if program is None:
        raise StartError(not_found_message(model_dir))
    return program


def not_found_message(model_dir: str) -> str:
    """The message for a missing program, with the fix."""
    name = _variables.PROGRAM.read()
    return (
        f"{_variables.PROGRAM.name}={name!r} was not found in {Path(model_dir, 'code')}. "
        "Put the program there, or set the variable to the name of its file."
    )
