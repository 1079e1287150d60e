"""Not for use: see `overwritten`."""

from sagemaker_inference.overwritten import MESSAGE

raise ImportError(MESSAGE)
