"""Find and import the user's program.

The supervisor never imports it; a model process does, once, through here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_inference import environment, parameters
from sagemaker_inference.assembly import assemble
from sagemaker_inference.errors import RegistrationError, StartError
from sagemaker_inference.logging import users_place
from sagemaker_inference.registry import Registry, default_registry

if TYPE_CHECKING:
    from types import ModuleType

    from sagemaker_inference.assembly import InferenceHandler


@dataclass(frozen=True, slots=True)
class Program:
    """Where the user's program is.

    Attributes:
        module: the dotted name it is imported under.
        root: the folder that goes first on ``sys.path`` for it.
        path: its file; "" where it is imported by name (``python -m package.inference``).
    """

    module: str
    root: str
    path: str = ""

    @property
    def label(self) -> str:
        """How messages name it."""
        return os.path.relpath(self.path) if self.path else self.module

    @classmethod
    def of_file(cls, path: str) -> Program:
        """A program that is a file."""
        resolved = Path(path).resolve()
        return cls(resolved.stem, str(resolved.parent), str(resolved))

    @classmethod
    def of_main(cls) -> Program:
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
        return cls.of_file(path)

    @classmethod
    def named(cls, name: str, code_dir: str) -> Program | None:
        """What SAGEMAKER_PROGRAM names in the code folder, or None where there is no such thing.

        ``inference.py``, ``folder/inference.py``, ``inference`` and ``package.module`` all work.
        """
        for path in (Path(code_dir, name), Path(code_dir, name + ".py")):
            if path.is_file():
                return cls.of_file(str(path))
        if Path(code_dir, name.replace(".", "/") + ".py").is_file():
            return cls(name, code_dir)
        return None


def find(model_dir: str) -> Program:
    """The program that SAGEMAKER_PROGRAM names, in the model's folder ``code``.

    Raises:
        StartError: it is not there.
    """
    code_dir = str(Path(model_dir, "code"))
    name = os.environ.get(parameters.USER_PROGRAM_ENV) or environment.DEFAULT_MODULE_NAME
    found = Program.named(name, code_dir)
    if found is None:
        message = (
            f"{parameters.USER_PROGRAM_ENV}={name!r} was not found in {code_dir}. "
            "Put the program there, or set the variable to its name."
        )
        raise StartError(message)
    return found


class _Loading:
    """The import that is under way: how serve(), called from it, talks to `load`."""

    module = ""
    registry: Registry = default_registry


def served(name: str, registry: Registry, place: str) -> None:
    """Take note that the program being loaded called serve(): its registrations are complete.

    A program that somebody else imports (a test, another program) is left alone.
    """
    if _Loading.module == name:
        _Loading.registry = registry
        registry.adopt(sys.modules[name])
        registry.close(f"serve(__name__) at {place}")


def load(program: Program) -> tuple[ModuleType, Registry]:
    """Import the program; return its module and the registry it serves.

    Raises:
        StartError: it cannot be imported; one message with file, line, cause and mend.
    """
    _Loading.module, _Loading.registry = program.module, default_registry
    try:
        if program.root not in sys.path:
            sys.path.insert(0, program.root)
        module = _import(program)
    except RegistrationError as error:
        message = f"{_place(error, program)}: {error}"
        raise StartError(message) from None
    except SyntaxError as error:
        message = f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
        if error.text:
            message += f": {error.text.strip()}"
        message += ". Correct this line."
        raise StartError(message) from None
    except ImportError as error:
        message = (
            f"{_place(error, program)}: {type(error).__name__}: {error}. Install what is missing, "
            "or list it in requirements.txt beside the program."
        )
        raise StartError(message) from None
    except Exception as error:
        message = f"{_place(error, program)}: {type(error).__name__}: {error}"
        raise StartError(message) from error
    finally:
        _Loading.module = ""
    return module, _Loading.registry


def assembled(program: Program) -> InferenceHandler:
    """Import the program and make it complete.

    Raises:
        StartError: it cannot be imported, or something is missing.
    """
    module, registry = load(program)
    try:
        registry.adopt(module)
    except RegistrationError as error:
        raise StartError(str(error)) from None
    return assemble(registry, program.label)


def _import(program: Program) -> ModuleType:
    if not program.path:
        return importlib.import_module(program.module)
    spec = importlib.util.spec_from_file_location(program.module, program.path)
    if spec is None or spec.loader is None:
        message = f"{program.path} is no Python file. Name one that ends in .py."
        raise StartError(message)
    module = importlib.util.module_from_spec(spec)
    # Registered first, as import does: dataclasses and pickles look their module up by name.
    sys.modules[program.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[program.module]
        raise
    return module


def _place(error: BaseException, program: Program) -> str:
    return users_place(error) or program.label
