"""Libraries that a format needs and an installation may lack."""

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
    """Whether a library could be imported; it is not, since that takes long."""
    from importlib.util import find_spec

    return find_spec(library) is not None


def needed(module: str, format_name: str) -> Any:
    """Import a library of an extra, or a module of one.

    Raises:
        UnsupportedMediaTypeError: it is not installed; the message has what clients may send
            instead, and the log the line to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        from sagemaker_inference import codecs

        _logger.warning("%s", mend(module.partition(".")[0], format_name))
        msg = f"{format_name} is not supported here; send one of: {', '.join(codecs.decodable())}."
        raise UnsupportedMediaTypeError(msg) from None


def mend(library: str, format_name: str) -> str:
    """What to do about a missing library."""
    return (
        f"{format_name} needs {library}, which this container lacks: "
        f"pip install 'sagemaker-inference[{EXTRAS[library]}]'"
    )
