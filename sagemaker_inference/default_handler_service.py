"""The handler service that MMS's stock back end loads.

MMS wants exactly one class whose ``__module__`` is this module, and no function ``handle`` beside
it (``mms/model_loader.py``): nothing else may be defined here.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from sagemaker_inference.logging import configure_logger
from sagemaker_inference.transformer import Transformer


class DefaultHandlerService:
    """Serves the program that SAGEMAKER_PROGRAM names, for a back end that is not ours.

    Args:
        transformer: what answers; one for the user's program when left out.
    """

    def __init__(self, transformer: Transformer | None = None) -> None:
        self._service = transformer or Transformer()

    def initialize(self, context: Any) -> None:
        """Load the program and its model, from ``context.system_properties["model_dir"]``.

        A load that fails ends the process: MMS's stock back end would log the exception, keep the
        worker and fail every request.
        """
        configure_logger()
        try:
            self._service.validate_and_initialize(
                model_dir=context.system_properties.get("model_dir"), context=context
            )
        except Exception:  # noqa: BLE001 - the process ends, whatever it was
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def handle(self, data: Any, context: Any) -> list[Any]:
        """Answer a batch of MMS's: one body per request."""
        return self._service.transform(data, context)
