"""A program's own modules, in a process that imports other things too, such as one of tests."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# By folder: what its programs have imported from it, and when the files of that were written.
_IMPORTED: Final[dict[str, dict[str, tuple[ModuleType, int]]]] = {}
_LIBRARIES: Final = ("site-packages", "dist-packages")
# A server has imported them before the program, whatever is beside that.
_NEVER_ASIDE: Final = sys.stdlib_module_names | {"sagemaker_inference", "__main__", "__mp_main__"}


def forget_changed(folder: str) -> None:
    """Have the modules of a folder imported again if the file of one of them has changed.

    Only those are that a program imported within `first`: others are whoever imported them's.

    Args:
        folder: the folder of the program.
    """
    imported = _IMPORTED.get(folder, {})
    if all(_written(module) == written for module, written in imported.values()):
        return
    for name, (module, _) in imported.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    imported.clear()


@contextmanager
def first(folder: str, program: str) -> Iterator[None]:
    """Have a program's folder come first for what it imports, whatever has been imported already.

    Modules from elsewhere, of names that the folder has too, are back when the block is left;
    those of other programs are not, so that a handler's own imports find what is beside it.

    Args:
        folder: the folder of the program.
        program: the name of its module, which the caller replaces.
    """
    # Whoever else has put it on the path has chosen its place.
    has_place = folder in sys.path and folder not in _IMPORTED
    if folder in _IMPORTED:
        with suppress(ValueError):
            sys.path.remove(folder)
    aside = _set_aside(folder, program)
    before = dict(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if has_place:
            with suppress(ValueError):  # the program has removed it
                sys.path.remove(folder)
        imported = _IMPORTED.setdefault(folder, {})
        for name, module in list(sys.modules.items()):
            if before.get(name) is not module and _is_below(folder, module):
                imported[name] = module, _written(module)
        for top in {_top(name) for name in aside}:
            for name in _of(top):
                del sys.modules[name]
        sys.modules.update(aside)


def _set_aside(folder: str, program: str) -> dict[str, ModuleType]:
    """Remove modules from elsewhere that hide those of a folder; returns those to put back."""
    aside = {}
    for name in sorted({entry.name.partition(".")[0] for entry in os.scandir(folder)}):
        if name in _NEVER_ASIDE or name == program or name not in sys.modules:
            continue
        modules = _of(name)
        if not _hides(name, folder, modules):
            continue
        for each in modules:
            del sys.modules[each]
        if not all(_is_a_programs(each, module) for each, module in modules.items()):
            aside.update(modules)
    return aside


def _hides(name: str, folder: str, modules: dict[str, ModuleType]) -> bool:
    """Whether modules of a name would be taken for those that a folder has."""
    spec = PathFinder.find_spec(name, [folder])
    if spec is None:
        return False
    file = getattr(modules[name], "__file__", None)
    if spec.origin is not None:
        return file is None or os.path.realpath(file) != os.path.realpath(spec.origin)
    # Python, too, takes a folder without __init__.py only where there is no module of its name.
    return file is None and any(
        module.__file__
        and not _is_below(folder, module)
        and not any(part in _LIBRARIES for part in Path(module.__file__).parts)
        for module in modules.values()
    )


def _is_a_programs(name: str, module: ModuleType) -> bool:
    """Whether a module was imported by a program; a folder without __init__.py is nobody's."""
    if getattr(module, "__file__", None) is None:
        return True
    records = (imported.get(name) for imported in _IMPORTED.values())
    return any(record is not None and record[0] is module for record in records)


def _is_below(folder: str, module: ModuleType) -> bool:
    """Whether a module is a folder's own, and no package installed there."""
    file = getattr(module, "__file__", None)
    if not file or not file.startswith(os.path.join(folder, "")):  # noqa: PTH118 - it ends in a slash
        return False
    return not any(part in _LIBRARIES for part in Path(os.path.relpath(file, folder)).parts)


def _of(top: str) -> dict[str, ModuleType]:
    """A module that is imported, and those of its package."""
    return {name: module for name, module in list(sys.modules.items()) if _top(name) == top}


def _top(name: str) -> str:
    return name.partition(".")[0]


def _written(module: ModuleType) -> int:
    try:
        return Path(str(module.__file__)).stat().st_mtime_ns
    except OSError:  # it is gone
        return 0
