"""Import the user's program and make it complete. Only a worker does that, once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sagemaker_inference import _config
from sagemaker_inference._aws import script_functions
from sagemaker_inference._errors import RegistrationError, StartError
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._log import last_user_line
from sagemaker_inference._program.registry import Registry, default_registry

if TYPE_CHECKING:
    from types import ModuleType

    from sagemaker_inference._config import Config
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.location import Program


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
        script_functions.adopt(registry, sys.modules[name])
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


def assembled(
    program: Program, fallback: Registry | None = None, config: Config | None = None
) -> InferenceHandler:
    """Import the program and make it complete.

    Where that fails, nothing of it stays behind: it may be tried again.

    Args:
        program: where it is.
        fallback: what a framework brings along for whatever it leaves out.
        config: what the environment says; read from it when left out.

    Raises:
        StartError: it cannot be imported, or something is missing.
    """
    try:
        with default_registry.attempt():
            module, registry = load(program)
            try:
                script_functions.adopt(registry, module)
            except RegistrationError as error:
                raise StartError(str(error)) from None
            return assemble(registry, program.label, fallback, config=config)
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
        message = f"{program.path} is not a Python file. Name one that ends in .py."
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
    if _config.is_on(_config.MULTI_MODEL):
        return "Install what is missing."
    return "Install what is missing, or list it in requirements.txt beside the program."


def _place(error: BaseException, program: Program) -> str:
    return last_user_line(error) or program.label
