"""The errors that programs raise and catch; `_errors` says which status each one has."""

from sagemaker_inference._errors import *  # noqa: F403
from sagemaker_inference._errors import __all__ as __all__  # noqa: PLC0414
