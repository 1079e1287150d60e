"""Ray itself, which is imported when it is needed."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from types import ModuleType

# The first version with all that is used, and the newest that the tests have run with.
OLDEST: Final = (2, 60)
NEWEST: Final = (2, 60)
_PACKAGE: Final = "sagemaker_inference.ray"
_INSTALL: Final = "pip install 'sagemaker-inference[ray]'"


def needed(module: str) -> Any:
    """Import a module of Ray.

    Raises:
        StartError: it is not installed, or what it needs is another version; the message names the
            extra.
    """
    try:
        found: ModuleType = import_module(module)
    except ModuleNotFoundError as error:
        library = (error.name or module).partition(".")[0]
        message = f"{_PACKAGE} needs {library}, which is not installed. Run: {_INSTALL}"
        raise StartError(message) from None
    except ImportError as error:
        message = f"{module} cannot be imported: {error}. Run: {_INSTALL}"
        raise StartError(message) from None
    _check(version("ray"))
    return found


def _check(installed: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", installed)
    parts = tuple(map(int, numbers.groups())) if numbers else ()
    if OLDEST <= parts <= NEWEST:
        return
    oldest, newest = (".".join(map(str, numbers)) for numbers in (OLDEST, NEWEST))
    tested = oldest if oldest == newest else f"{oldest} to {newest}"
    message = f"Ray {installed} is installed; {_PACKAGE} is tested with Ray {tested}"
    # Of whoever has called this package.
    warnings.warn(message, RuntimeWarning, stacklevel=4)
