"""Content types: their names, and how headers that hold them are read and negotiated."""

from sagemaker_inference._content_types import *  # noqa: F403
from sagemaker_inference._content_types import __all__ as __all__  # noqa: PLC0414
