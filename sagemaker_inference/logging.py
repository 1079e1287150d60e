"""The package's logger, under the names that AWS's toolkit gives it."""

from sagemaker_inference._log import configure_logger, get_logger

__all__ = ["configure_logger", "get_logger"]
