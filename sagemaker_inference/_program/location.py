"""Where the user's program is. Nothing here imports it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from sagemaker_inference import _config
from sagemaker_inference._errors import StartError


@dataclass(frozen=True, slots=True)
class Program:
    """Where the user's program is.

    Attributes:
        module: the dotted name it is imported under.
        root: the folder that goes first on ``sys.path`` for it.
        path: its file; "" where it is imported by name (``python -m package.inference``).
        code_dir: the model's folder ``code``, which is on ``sys.path`` too; "" where there is none.
    """

    module: str
    root: str
    path: str = ""
    code_dir: str = ""

    @property
    def label(self) -> str:
        """How messages name it."""
        return os.path.relpath(self.path) if self.path else self.module

    @classmethod
    def from_file(cls, path: str) -> Program:
        """A program that is a file."""
        resolved = Path(path).resolve()
        return cls(resolved.stem, str(resolved.parent), str(resolved))

    @classmethod
    def from_main(cls) -> Program:
        """The program that runs as ``__main__`` in this process.

        Raises:
            StartError: it has no file to start model processes from (a prompt, a notebook).
        """
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            return cls(spec.name.removesuffix(".__main__"), str(Path.cwd()))
        path = getattr(main, "__file__", None)
        if path is None or not Path(path).is_file():
            message = (
                "serve(__name__) starts processes that import this program from its file, and it "
                "has none. Save it as inference.py and run: python inference.py"
            )
            raise StartError(message)
        return cls.from_file(path)

    @classmethod
    def from_name(cls, name: str, code_dir: str) -> Program | None:
        """What SAGEMAKER_PROGRAM names in the code folder, or None where there is no such thing.

        ``inference.py``, ``folder/inference.py``, ``inference``, ``package.module`` and
        ``package`` all work.
        """
        for path in (Path(code_dir, name), Path(code_dir, name + ".py")):
            if path.is_file():
                return cls.from_file(str(path))
        dotted = Path(code_dir, name.replace(".", "/"))
        if dotted.with_name(dotted.name + ".py").is_file() or (dotted / "__init__.py").is_file():
            return cls(name, code_dir)
        return None


def search(model_dir: str) -> Program | None:
    """The program that SAGEMAKER_PROGRAM names; None where there is none.

    It is looked for in the model's folder ``code``, then where AWS's toolkit would have imported it
    from: beside the model, and on ``sys.path``.

    Raises:
        StartError: one of these folders cannot be read.
    """
    code_dir = str(Path(model_dir, "code"))
    name = _config.PROGRAM.read()
    for folder in (code_dir, model_dir, *sys.path):
        try:
            found = Program.from_name(name, folder) if folder else None
        except PermissionError as error:
            message = f"{folder} cannot be read: {error}. Give the server's user access to it."
            raise StartError(message) from None
        if found is not None:
            return replace(found, code_dir=code_dir)
    return None


def is_named() -> bool:
    """Whether somebody has asked for a program; SageMaker's SDK sends "" where nobody has."""
    return bool(_config.PROGRAM.text)


def find(model_dir: str) -> Program:
    """The program that SAGEMAKER_PROGRAM names.

    Raises:
        StartError: there is none.
    """
    found = search(model_dir)
    if found is None:
        raise StartError(not_found(model_dir))
    return found


def not_found(model_dir: str) -> str:
    """Say that there is no program, and what to do about it."""
    name = _config.PROGRAM.read()
    return (
        f"{_config.PROGRAM.name}={name!r} was not found in {Path(model_dir, 'code')}. "
        "Put the program there, or set the variable to its name."
    )
