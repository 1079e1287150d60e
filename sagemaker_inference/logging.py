"""The package's logger, as AWS's toolkit names it, and the ids of requests for programs' logs."""

from sagemaker_inference._log import RequestIdFilter, configure_logger, get_logger

__all__ = ["RequestIdFilter", "configure_logger", "get_logger"]
