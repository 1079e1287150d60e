"""Files of the user that have the name of a module, and are imported in its place."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

# Modules that orjson looks into when it is imported: 3.10.0 ends the process where something is
# missing there.
_OF_ORJSON = ("json", "uuid", "zoneinfo", "datetime")


def folder_of_main() -> str:
    """The folder of the file that Python runs; "" where there is none."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.dirname(os.path.realpath(file)) if file else ""  # noqa: PTH120 - light


def shadow(name: str, file: str | None, folder: str) -> str | None:
    """A file in a folder, if it is imported in place of the module of that name.

    Args:
        name: the module.
        file: where it was imported from, or None.
        folder: the program's folder.
    """
    root = name.partition(".")[0]
    # A package's file is __init__.py; its folder is the program's under python -m package.
    if not file or not folder or os.path.realpath(file) != os.path.join(folder, f"{root}.py"):  # noqa: PTH118
        return None
    is_standard = root in sys.stdlib_module_names
    return file if is_standard or _is_elsewhere(root, folder) else None


def advice(folder: str, program: str = "") -> str:
    """What to do about the first such file that was imported; "" if there is none.

    Args:
        folder: the program's folder.
        program: the program's module, which is no such file.
    """
    for name, module in list(sys.modules.items()):
        if name == program:
            continue
        file = shadow(name, getattr(module, "__file__", None), folder)
        if file is not None:
            return about(file, name)
    return ""


def refuse_crash() -> None:
    """Refuse a file beside the program that would have the import of orjson end the process.

    Raises:
        ImportError: there is one.
    """
    folder = folder_of_main()
    for name in _OF_ORJSON:
        path = os.path.join(folder, f"{name}.py")  # noqa: PTH118
        if folder and os.path.exists(path) and shadow(name, _file_of(name), folder):  # noqa: PTH110
            raise ImportError(about(path, name))


def about(file: str, name: str) -> str:
    """What to do about one."""
    root = name.partition(".")[0]
    return f"{file} is imported instead of the package {root!r}: rename the file."


def _file_of(name: str) -> str | None:
    """The file of a module, whether or not it has been imported."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = PathFinder.find_spec(name)
    return None if spec is None else spec.origin


def _is_elsewhere(name: str, folder: str) -> bool:
    """Whether a module of this name is outside the folder."""
    folders = [path for path in sys.path if os.path.realpath(path or ".") != folder]
    return PathFinder.find_spec(name, folders) is not None
