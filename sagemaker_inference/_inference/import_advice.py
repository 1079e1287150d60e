"""What to do about an import of the program that failed: advice that fits the cause."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sagemaker_inference import _variables
from sagemaker_inference._os import shadows

if TYPE_CHECKING:
    from sagemaker_inference._program.location import Program


def advice(error: BaseException, program: Program) -> str:
    """A sentence or two: how to fix what an import has led to; "" where it was none."""
    if isinstance(error, ImportError):
        return _of_import(error, program)
    # `import a` finds a module that lacks what it is used for at once: a.b.
    module = error.obj if isinstance(error, AttributeError) else None
    if not isinstance(module, ModuleType):
        # Of a library that found one of the program's files in the place of a module.
        is_likely = isinstance(error, (AttributeError, SystemError))
        return shadows.advice(program.root, program.module) if is_likely else ""
    name, file = module.__name__, getattr(module, "__file__", None)
    if "partially initialized module" in str(error):
        return _about_circles(name, file, program)
    shadow = _shadow(name, file, program)
    return "" if shadow is None else shadows.about(shadow, name)


def _of_import(error: ImportError, program: Program) -> str:
    text, name = str(error), error.name or ""
    if "relative import" in text:
        module = Path(program.path).stem if program.path else program.module
        return (
            f"{module}.py runs as a program, which is not in a package: write "
            "'from helpers import x' instead of 'from .helpers import x', or start it with "
            "python -m package.module."
        )
    if "partially initialized module" in text or "circular import" in text:
        # The module itself is gone: its import has failed.
        return _about_circles(name, error.path, program)
    if (shadow := _shadow(name, _file_of(name), program)) is not None:
        return shadows.about(shadow, name)
    # Also a submodule that the installed version of its package does not have.
    is_other_version = "." in name or not isinstance(error, ModuleNotFoundError)
    if is_other_version and _is_installed(name):
        return _about_versions(name, program)
    return _install(program)


def _about_circles(name: str, file: str | None, program: Program) -> str:
    shadow = _shadow(name, file, program)
    if shadow is not None:
        return f"{shadow} has the name of the module that it imports: rename the file."
    return (
        "Two modules import each other: move what both need into a third one, or import within "
        "the function that needs it."
    )


def _about_versions(name: str, program: Program) -> str:
    subject = f"The package {name.partition('.')[0]!r}" if name else "The package"
    place = " in requirements.txt" if _has_installer(program) else ""
    return (
        f"{subject} is installed, but not in a version that fits: the traceback shows which module "
        f"asks for what. Pin versions that go together{place}."
    )


def _install(program: Program) -> str:
    if _variables.is_on(_variables.MULTI_MODEL):
        return "Install the missing package in the image."
    if _has_installer(program):
        return "Install the missing package, or list it in requirements.txt beside the program."
    file = Path(program.root, "requirements.txt")
    if file.is_file():
        return f"Install the missing package, perhaps with: pip install -r {os.path.relpath(file)}"
    return "Install the missing package."


def _has_installer(program: Program) -> bool:
    """Whether a requirements.txt beside the program is installed: not where a file is served.

    Nor with many models, which share the packages of one interpreter.
    """
    return bool(program.code_dir) and not _variables.is_on(_variables.MULTI_MODEL)


def _file_of(name: str) -> str | None:
    return getattr(sys.modules.get(name.partition(".")[0]), "__file__", None)


def _shadow(name: str, file: str | None, program: Program) -> str | None:
    return shadows.shadow(name, file, program.root)


def _is_installed(name: str) -> bool:
    root = name.partition(".")[0]
    try:
        return bool(root) and importlib.util.find_spec(root) is not None
    except (ImportError, ValueError):
        return root in sys.modules
