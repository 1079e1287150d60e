"""Import the user's program and assemble it. A worker does this once."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from sagemaker_inference import _variables
from sagemaker_inference._aws import script_functions
from sagemaker_inference._errors import RegistrationError, StartError
from sagemaker_inference._inference import import_advice
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._log import last_user_line
from sagemaker_inference._program import own_modules, roles
from sagemaker_inference._program.registry import Registry, default_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from sagemaker_inference._config import Config
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._inference.servable import Servable
    from sagemaker_inference._program.location import Program
    from sagemaker_inference._program.registration import Registration


# What is being imported is known to the whole process.
_ONE_AT_A_TIME: Final = threading.Lock()
# The name under which multiprocessing runs a program in a child that it spawns.
_SPAWNED: Final = "__mp_main__"
_MAIN_BLOCK: Final = re.compile(r"""__name__\s*==\s*['"]__main__['"]""")
_NOTHING_IMPORTED: Final = (
    "{} registers nothing when workers import it. Register its handlers outside of "
    'if __name__ == "__main__".'
)


class _Loading:
    """The import in progress, through which serve() tells `load` what to serve.

    It also has, for each loaded file, the registry and the modification time. The default registry
    holds only the last program that was loaded.
    """

    module = ""
    registry: Registry = default_registry
    loaded: ClassVar[dict[str, tuple[Registry, int]]] = {}
    last = ""


def name_in_worker(name: str) -> str:
    """The module that calls serve(): a program that says "__main__" is another one in a worker."""
    return (_Loading.module or name) if name == "__main__" else name


def note_serve_call(name: str, registry: Registry, caller: str) -> None:
    """Close the registry of the program being loaded, which has called serve().

    A program that is imported elsewhere (by a test, by another program) is not affected.

    Args:
        name: the calling module.
        registry: the registry to serve.
        caller: file and line of the call, for messages.
    """
    if name == _SPAWNED:
        # What a worker's functions are pickled as is found without running the program again.
        module = sys.modules[name]
        sys.modules.setdefault(Path(str(module.__file__)).stem, module)
    if _Loading.module == name:
        _Loading.registry = registry
        script_functions.adopt(registry, sys.modules[name])
        registry.close(f"serve(__name__) at {caller}")


def load(program: Program, *, as_main: bool = False) -> tuple[ModuleType, Registry]:
    """Import the program; return its module and the registry it serves.

    A program that is already imported, as by handler services of AWS's containers, is not run
    again.

    Args:
        program: the location of the program.
        as_main: whether its names are those of ``__main__`` too, as under ``python inference.py``.

    Raises:
        StartError: it cannot be imported; the message has file, line, cause and fix.
    """
    if program.code_dir and program.code_dir not in sys.path:
        sys.path.insert(0, program.code_dir)
    imported = _imported(program)
    if imported is not None:
        if as_main:
            _stand_for_main(imported[0])
        return imported
    if program.path in _Loading.loaded:
        _forget_modules(program, _modules(_Loading.loaded[program.path][0]))
    _begin(program)
    before = _modules(default_registry)
    try:
        if program.root not in sys.path:
            sys.path.insert(0, program.root)
        module = _import(program, as_main=as_main)
    except StartError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a program may raise anything
        _forget_modules(program, _modules(default_registry) - before)
        is_clear = isinstance(error, (RegistrationError, SyntaxError))
        raise StartError(_explained(error, program)) from (None if is_clear else error)
    finally:
        _Loading.module = ""
    if program.path:
        _Loading.loaded[program.path] = _Loading.registry, Path(program.path).stat().st_mtime_ns
        _Loading.last = program.path
    return module, _Loading.registry


def _modules(registry: Registry) -> set[str]:
    """The modules that have registered handlers."""
    return {item.handler.function.__module__ for item in _registrations(registry)}


def _registrations(registry: Registry) -> Iterator[Registration]:
    for role in roles.ALL:
        yield from registry.find(role)


def _forget_modules(program: Program, names: set[str]) -> None:
    """Have modules beside a program register their handlers again when it imports them again."""
    for name in names - {program.module}:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(program.root) in Path(file).parents:
            del sys.modules[name]


def _explained(error: BaseException, program: Program) -> str:
    """Why the program cannot be imported, with file, line and, where it is known, the fix."""
    line = last_user_line(error) or program.label
    if isinstance(error, RegistrationError):
        return f"{line}: {error}"
    if isinstance(error, SyntaxError):
        if error.filename:  # which a file with null bytes lacks
            line = f"{error.filename}, line {error.lineno}"
        message = f"{line}: {type(error).__name__}: {error.msg}"
        if error.text:
            message += f": {error.text.strip()}"
        return message + ". Fix this line."
    if isinstance(error, SystemExit):
        line = _last_line_below(program.root, error) or line
        return (
            f"{line}: the program exited (SystemExit: {error.code}) while it was imported, with "
            f"the arguments {sys.argv[1:]}. Workers import it as well: pass the arguments that it "
            "needs, and exit only within functions."
        )
    advice = import_advice.advice(error, program)
    return f"{line}: {type(error).__name__}: {error}{advice and f'. {advice}'}"


def _last_line_below(folder: str, error: BaseException) -> str:
    """The last line of the program's own files: argparse, for one, exits in a file of its own."""
    lines = [
        f"{frame.filename}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(folder)
    ]
    return lines[-1] if lines else ""


def _begin(program: Program) -> None:
    if default_registry.is_closed:
        # It holds the handlers of another program, which is already assembled.
        default_registry.reset()
    _Loading.module, _Loading.registry = program.module, default_registry


def assembled(
    program: Program,
    fallback: Callable[[Registry], Registry] | None = None,
    config: Config | None = None,
    *,
    as_main: bool = False,
) -> InferenceHandler:
    """Import the program and assemble it.

    A failure leaves nothing behind, so that it can be tried again.

    Args:
        program: the location of the program.
        fallback: takes the handlers of the program, and returns those of a framework for roles that
            the program does not define.
        config: the settings; by default those of the environment.
        as_main: as for `load`.

    Raises:
        StartError: it cannot be imported or is incomplete.
    """
    main = sys.modules["__main__"]
    try:
        with default_registry.attempt():
            module, registry = load(program, as_main=as_main)
            try:
                _adopt(registry, module, program)
                defaults = fallback(registry) if fallback else None
            except RegistrationError as error:
                raise StartError(str(error)) from None
            try:
                return assemble(registry, program.label, defaults, config=config)
            except StartError:
                # A script that trains has such a block, too: a framework's handlers suffice it.
                if registry.is_empty and _has_main_block(module):
                    raise StartError(_NOTHING_IMPORTED.format(program.label)) from None
                raise
    except StartError:
        sys.modules.pop(program.module, None)
        _stand_for_main(main)
        raise


def _adopt(registry: Registry, module: ModuleType, program: Program) -> None:
    """Register the functions of a program that are found by their names."""
    if program.function:
        # Few programs are of this kind.
        from sagemaker_inference._aws import distribution_handler

        distribution_handler.adopt(registry, module, program.function)
    else:
        script_functions.adopt(registry, module)


def assembled_apart(program: Program, config: Config | None = None) -> InferenceHandler:
    """As `assembled`, in a process that goes on with other things, such as tests.

    The default registry is left as it is. A program that this process has imported already is not
    run again: its handlers are those that it has registered then. One that is run gets the modules
    beside it, whatever else has been imported under their names.

    Args:
        program: the location of the program, which is a file.
        config: the settings; by default those of the environment.

    Raises:
        StartError: it cannot be imported or is incomplete.
    """
    with _ONE_AT_A_TIME:
        own_modules.forget_changed(program.root)
        _keep(program)
        with default_registry.isolated(), own_modules.first(program.root, program.module):
            handler = assembled(program, config=config)
            _keep(program)
    return handler


def _keep(program: Program) -> None:
    """Have a program that is imported keep its handlers in a registry of its own."""
    imported = _imported(program)
    if imported is None:
        return
    module, registry = imported
    kept = Registry()
    for registration in _registrations(registry):
        kept.add(registration)
    try:
        _adopt(kept, module, program)
    except RegistrationError as error:
        raise StartError(str(error)) from None
    kept.close("the program was assembled")
    _Loading.loaded[program.path] = kept, Path(program.path).stat().st_mtime_ns


def load_model(
    servable: Servable,
    model_dir: str,
    gpu_id: int | None = None,
    model_name: str = "model",
    *,
    program: Program | None,
) -> None:
    """Load the model.

    Args:
        servable: what loads it.
        model_dir: the folder of the model.
        gpu_id: the GPU of this worker, or None.
        model_name: the name of the model in the context.
        program: the location of the program, or None if it has none.

    Raises:
        StartError: it failed; the cause is what the program raised.
    """
    try:
        servable.load(model_dir, gpu_id, model_name)
    except StartError:
        raise
    except BaseException as error:
        message = f"loading the model from {model_dir} failed"
        if program is not None:
            advice = import_advice.advice(error, program).removesuffix(".")
            message += f" ({advice})" if advice else ""
        message += f": {type(error).__name__}"
        raise StartError(message) from error


def _has_main_block(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file and _MAIN_BLOCK.search(Path(file).read_text(errors="replace")))


def _imported(program: Program) -> tuple[ModuleType, Registry] | None:
    """The program if it is imported, unchanged, and its registrations still exist."""
    module = sys.modules.get(program.module)
    if not program.path or getattr(module, "__file__", None) != program.path or module is None:
        return None
    if program.path not in _Loading.loaded:
        return module, _registry_of(module)
    registry, modified = _Loading.loaded[program.path]
    is_held = registry is not default_registry or _Loading.last == program.path
    is_unchanged = modified == Path(program.path).stat().st_mtime_ns
    return (module, registry) if is_held and registry.is_closed and is_unchanged else None


def _registry_of(module: ModuleType) -> Registry:
    """The registry of a program that somebody else has imported, as a handler service may."""
    if not default_registry.is_closed:
        return default_registry
    # It serves another program; what this one has registered before that is among its handlers.
    registry = Registry()
    for registration in _registrations(default_registry):
        if registration.handler.function.__module__ == module.__name__:
            registry.add(registration)
    return registry


def _import(program: Program, *, as_main: bool) -> ModuleType:
    if not program.path:
        module = importlib.import_module(program.module)
        if as_main:
            _stand_for_main(module)
        return module
    spec = importlib.util.spec_from_file_location(program.module, program.path)
    if spec is None or spec.loader is None:
        # Who names a file has not set the variable.
        how = f"Set {_variables.PROGRAM.name} to" if program.code_dir else "Name"
        message = f"{program.path} is not a Python file. {how} one that ends in .py."
        raise StartError(message)
    module = importlib.util.module_from_spec(spec)
    # Added to sys.modules first, as import does: dataclasses and pickle look modules up by name.
    sys.modules[program.module] = module
    if as_main:
        # Before it runs: it may load a model that was pickled as __main__.Scaler.
        _stand_for_main(module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[program.module]
        raise
    return module


def _stand_for_main(module: ModuleType) -> None:
    """Make a module ``__main__``, for pickles and for what multiprocessing runs in its children."""
    sys.modules["__main__"] = module
    if _SPAWNED in sys.modules:
        sys.modules[_SPAWNED] = module
