"""Libraries that a format needs and an installation may lack."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagemaker_inference.errors import UnsupportedMediaTypeError


def needed(module: str, extra: str, format_name: str) -> Any:
    """Import a library of an extra.

    Raises:
        UnsupportedMediaTypeError: it is not installed; the message has the line to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        msg = (
            f"{format_name} needs {module.partition('.')[0]}, which this container lacks: "
            f"pip install 'sagemaker-inference[{extra}]'"
        )
        raise UnsupportedMediaTypeError(msg) from None
