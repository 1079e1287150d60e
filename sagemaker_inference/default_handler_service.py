"""The handler service that MMS's stock back end loads, and AWS's containers derive theirs from.

MMS wants exactly one class whose ``__module__`` is this module, and no function ``handle`` beside
it (``mms/model_loader.py``): nothing else may be defined here.
"""

from __future__ import annotations

import sys
from typing import Any

from sagemaker_inference._log import configure_logger
from sagemaker_inference.transformer import Transformer


class DefaultHandlerService:
    """Serves the program that SAGEMAKER_PROGRAM names.

    Subclasses may set ``_service`` whenever they like, without calling ``__init__`` here.

    Args:
        transformer: what answers; one for the user's program when left out.
    """

    _service: Any = None

    def __init__(self, transformer: Any = None) -> None:
        self._service = transformer or Transformer()

    def initialize(self, context: Any) -> None:
        """Load the program and its model, from ``context.system_properties["model_dir"]``.

        What goes wrong passes through. Our own back end ends the start with it; MMS's stock back
        end logs it, and the next request tries again.
        """
        configure_logger()
        model_dir = context.system_properties.get("model_dir")
        code_dir = f"{model_dir}/code"
        if code_dir not in sys.path:
            sys.path.insert(0, code_dir)
        self._service.validate_and_initialize(model_dir=model_dir, context=context)

    def handle(self, data: Any, context: Any) -> Any:
        """Answer a batch of MMS's: one body per request."""
        return self._service.transform(data, context)
