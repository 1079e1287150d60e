"""Find and import the user's program.

The supervisor never imports it; a model process does, once, through here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sagemaker_inference import environment, parameters
from sagemaker_inference._errors import RegistrationError, StartError
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._log import users_place
from sagemaker_inference._program.registry import Registry, default_registry

if TYPE_CHECKING:
    from types import ModuleType

    from sagemaker_inference._inference.assembly import InferenceHandler


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

        ``inference.py``, ``folder/inference.py``, ``inference``, ``package.module`` and
        ``package`` all work.
        """
        for path in (Path(code_dir, name), Path(code_dir, name + ".py")):
            if path.is_file():
                return cls.of_file(str(path))
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
    name = os.environ.get(parameters.USER_PROGRAM_ENV) or environment.DEFAULT_MODULE_NAME
    for folder in (code_dir, model_dir, *sys.path):
        try:
            found = Program.named(name, folder) if folder else None
        except PermissionError as error:
            message = f"{folder} cannot be read: {error}. Give the server's user access to it."
            raise StartError(message) from None
        if found is not None:
            return replace(found, code_dir=code_dir)
    return None


def is_named() -> bool:
    """Whether somebody has asked for a program; SageMaker's SDK sends "" where nobody has."""
    return bool(os.environ.get(parameters.USER_PROGRAM_ENV))


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
    name = os.environ.get(parameters.USER_PROGRAM_ENV) or environment.DEFAULT_MODULE_NAME
    return (
        f"{parameters.USER_PROGRAM_ENV}={name!r} was not found in {Path(model_dir, 'code')}. "
        "Put the program there, or set the variable to its name."
    )


class _Loading:
    """The import that is under way: how serve(), called from it, talks to `load`.

    And what was loaded: the registry that it serves, and the file's time of change. The default
    registry holds one program at a time, the last.
    """

    module = ""
    registry: Registry = default_registry
    loaded: ClassVar[dict[str, tuple[Registry, int]]] = {}
    last = ""


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

    One that this process has imported already, as handler services of AWS's containers do, is not
    run again.

    Raises:
        StartError: it cannot be imported; one message with file, line, cause and mend.
    """
    if program.code_dir and program.code_dir not in sys.path:
        sys.path.insert(0, program.code_dir)
    there = _imported(program)
    if there is not None:
        return there
    _begin(program)
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
        message = f"{_place(error, program)}: {type(error).__name__}: {error}. {_install()}"
        raise StartError(message) from None
    except Exception as error:
        message = f"{_place(error, program)}: {type(error).__name__}: {error}"
        raise StartError(message) from error
    finally:
        _Loading.module = ""
    if program.path:
        _Loading.loaded[program.path] = _Loading.registry, Path(program.path).stat().st_mtime_ns
        _Loading.last = program.path
    return module, _Loading.registry


def _begin(program: Program) -> None:
    if default_registry.is_closed:
        # What it holds is another program's, which answers with what was assembled of it.
        default_registry.reset()
    _Loading.module, _Loading.registry = program.module, default_registry


def assembled(program: Program, fallback: Registry | None = None) -> InferenceHandler:
    """Import the program and make it complete.

    Where that fails, nothing of it stays behind: it may be tried again.

    Args:
        program: where it is.
        fallback: what a framework brings along for whatever it leaves out.

    Raises:
        StartError: it cannot be imported, or something is missing.
    """
    try:
        with default_registry.attempt():
            module, registry = load(program)
            try:
                registry.adopt(module)
            except RegistrationError as error:
                raise StartError(str(error)) from None
            return assemble(registry, program.label, fallback)
    except StartError:
        sys.modules.pop(program.module, None)
        raise


def _imported(program: Program) -> tuple[ModuleType, Registry] | None:
    """The program, where it has been imported and its registrations still stand."""
    module = sys.modules.get(program.module)
    if not program.path or getattr(module, "__file__", None) != program.path or module is None:
        return None
    if program.path not in _Loading.loaded:
        return module, default_registry
    registry, changed = _Loading.loaded[program.path]
    is_held = registry is not default_registry or _Loading.last == program.path
    is_changed = changed != Path(program.path).stat().st_mtime_ns
    stands = is_held and registry.is_closed and not is_changed
    return (module, registry) if stands else None


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


def _install() -> str:
    # Many models share the packages of one interpreter, and bring none.
    if environment.is_set(parameters.MULTI_MODEL_ENV):
        return "Install what is missing."
    return "Install what is missing, or list it in requirements.txt beside the program."


def _place(error: BaseException, program: Program) -> str:
    return users_place(error) or program.label
