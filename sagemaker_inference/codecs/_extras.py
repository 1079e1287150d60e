"""Libraries that a format needs and that may not be installed."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import Any, Final

from sagemaker_inference._errors import UnsupportedMediaTypeError

_logger = logging.getLogger("sagemaker-inference")

EXTRAS: Final = {"pyarrow": "arrow", "scipy": "scipy", "PIL": "image"}


@cache
def is_installed(library: str) -> bool:
    """Whether a library can be imported; it is not imported, since that takes long."""
    from importlib.util import find_spec

    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # of a module in a package that is not installed either
        return False


def needed(module: str, format_name: str) -> Any:
    """Import a library of an extra, or a module of one.

    Raises:
        UnsupportedMediaTypeError: it is not installed, as for `missing`.
    """
    try:
        return import_module(module)
    except ImportError:
        raise missing(module.partition(".")[0], format_name) from None


def missing(library: str, format_name: str, install: str = "") -> UnsupportedMediaTypeError:
    """The error for a client whose format needs a missing library; logs how to install it.

    The message lists what the client may send instead.
    """
    from sagemaker_inference import codecs

    _logger.warning("%s", fix_for(library, format_name, install))
    return UnsupportedMediaTypeError(
        f"{format_name} is not supported here; send one of: {', '.join(codecs.decodable())}."
    )


def fix_for(library: str, format_name: str, install: str = "") -> str:
    """How to install a missing library."""
    extra = EXTRAS.get(library)
    install = install or (f"sagemaker-inference[{extra}]" if extra else library)
    return f"{format_name} needs {library}, which is not installed: pip install '{install}'"
