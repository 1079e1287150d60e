"""The handler service that the stock back end of MMS loads, and that AWS's containers subclass.

MMS requires exactly one class whose ``__module__`` is this module, and no function ``handle``
(``mms/model_loader.py``): nothing else may be defined here.
"""

from __future__ import annotations

import sys
from typing import Any

from sagemaker_inference._log import configure_logger
from sagemaker_inference.transformer import Transformer


class DefaultHandlerService:
    """Serves the program that SAGEMAKER_PROGRAM names.

    Subclasses may set ``_service`` at any time, without calling this ``__init__``.

    >>> from sagemaker_inference import transformer
    >>> from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
    >>> service = DefaultHandlerService(transformer.Transformer(DefaultInferenceHandler()))

    Args:
        transformer: the object that answers; a `Transformer` for the user's program by default.
    """

    _service: Any = None

    def __init__(self, transformer: Any = None) -> None:
        self._service = transformer or Transformer()

    def initialize(self, context: Any) -> None:
        """Load the program and its model, from ``context.system_properties["model_dir"]``.

        Exceptions pass through. In our workers they abort startup; the stock back end of MMS logs
        them, and the next request retries.
        """
        configure_logger()
        model_dir = context.system_properties.get("model_dir")
        code_dir = f"{model_dir}/code"
        if code_dir not in sys.path:
            sys.path.insert(0, code_dir)
        self._service.validate_and_initialize(model_dir=model_dir, context=context)

    def handle(self, data: Any, context: Any) -> Any:
        """Answer a batch: one body per request."""
        return self._service.transform(data, context)
