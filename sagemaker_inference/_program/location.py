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

_REQUIREMENTS = "requirements.txt"
_CODE = "code"


@dataclass(frozen=True, slots=True)
class Program:
    """Where the user's program is.

    Attributes:
        module: the dotted name under which it is imported.
        root: the folder that is put first on ``sys.path``.
        path: its file; "" if it is imported by name (``python -m package.inference``).
        code_dir: the model's folder ``code``, which is on ``sys.path`` too; "" if there is none.
        arguments: its ``sys.argv``; empty if it was not started by a command line.
        function: the function that answers requests, of a program for SageMaker Distribution; ""
            where decorators or script functions say what does.
    """

    module: str
    root: str
    path: str = ""
    code_dir: str = ""
    arguments: Sequence[str] = field(default=(), compare=False)
    function: str = ""

    @property
    def label(self) -> str:
        """The program's name in messages."""
        try:
            return os.path.relpath(self.path) if self.path else self.module
        except ValueError:  # on another drive of Windows
            return self.path

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


def requirements(model_dir: str | Path) -> Path | None:
    """The requirements.txt that is installed for a model; None if there is none.

    The one beside the program overrides those of the other folders where a program may be. That
    need not be there yet: a package may contain it.

    Args:
        model_dir: the folder of the model.

    Raises:
        StartError: one of these folders cannot be read.
    """
    folders = _folders(str(model_dir))
    program = _first(folders)
    beside = [program.root] if program else []
    paths = (Path(folder, _REQUIREMENTS) for folder in (*beside, *folders))
    return next((path for path in paths if path.is_file()), None)


def search(model_dir: str) -> Program | None:
    """The program that the environment names; None if there is none.

    It is looked for where SageMaker's SDK says that it is, in the model's folder ``code``, and in
    the folders from which AWS's toolkit would import it: the model's folder and ``sys.path``.

    Raises:
        StartError: one of these folders cannot be read.
    """
    program = _first([*_folders(model_dir), *sys.path])
    return program and replace(program, code_dir=str(Path(model_dir, _CODE)))


def _first(folders: Sequence[str]) -> Program | None:
    name, function = _name()
    for folder in folders:
        try:
            program = Program.from_name(name, folder) if folder else None
        except PermissionError as error:
            message = f"{folder} cannot be read: {error}. Give the server's user access to it."
            raise StartError(message) from None
        if program is not None:
            return replace(program, function=function)
    return None


def _name() -> tuple[str, str]:
    """The name of the program, and of its function if it is one for SageMaker Distribution."""
    module, _, function = _variables.INFERENCE_CODE.read().rpartition(".")
    return (module, function) if function else (_variables.PROGRAM.read(), "")


def _folders(model_dir: str) -> list[str]:
    """The folders where a model has its program, the first one first."""
    named = []
    if _variables.INFERENCE_CODE.text:
        # Relative to the model's folder, which it is where the variable is unset.
        named.append(str(Path(model_dir, _variables.INFERENCE_CODE_DIRECTORY.text)))
    if _variables.SUBMIT_DIRECTORY.text:
        named.append(_variables.SUBMIT_DIRECTORY.text)
    models = [str(Path(model_dir, _CODE)), model_dir]
    # The SDK's local mode mounts programs there.
    mounted = str(Path(_variables.BASE_DIR.read(), _CODE))
    # Each of many models may have a program; the variables are those of the container.
    is_shared = _variables.is_on(_variables.MULTI_MODEL)
    folders = [*models, *named] if is_shared else [*named, *models]
    return list(dict.fromkeys([*folders, mounted]))


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
    return bool(_variables.PROGRAM.text or _variables.INFERENCE_CODE.text)


def find(model_dir: str) -> Program:
    """The program that the environment names.

    Raises:
        StartError: there is none.
    """
    program = search(model_dir)
    if program is None:
        raise StartError(not_found_message(model_dir))
    return program


def not_found_message(model_dir: str) -> str:
    """The message for a missing program, with the fix."""
    variable = _variables.PROGRAM
    if _variables.INFERENCE_CODE.text:
        variable = _variables.INFERENCE_CODE
    message = (
        f"{variable.name}={variable.read()!r} was not found in {Path(model_dir, _CODE)}. "
        "Put the program there, or set the variable to the name of its file."
    )
    submitted = _variables.SUBMIT_DIRECTORY
    if submitted.text and not Path(submitted.text).is_dir():
        # Such as s3://..., from where old containers have downloaded an archive.
        message += f" {submitted.name}={submitted.text!r} is not a folder here."
    return message
