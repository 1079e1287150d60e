"""AWS's spelling of a request's path: a `Transformer` for a handler service on MMS.

The package's front door imports this module, since ``@transformer`` has its name; so what serving
takes is imported when something is served.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sagemaker_inference import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference.pipeline import Pipeline


class Transformer:
    """Loads the program that SAGEMAKER_PROGRAM names, and answers MMS's requests with it."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._lock = threading.Lock()

    def validate_and_initialize(
        self, model_dir: str = environment.model_dir, context: Any = None
    ) -> None:
        """Import the program and load its model, once.

        Args:
            model_dir: where the model is; the program is in its folder ``code``.
            context: MMS's context; its ``system_properties["gpu_id"]`` counts.

        Raises:
            StartError: the program cannot be imported or is incomplete.
        """
        with self._lock:
            if self._pipeline is None:
                self._pipeline = _load(model_dir, context)

    def transform(self, data: Sequence[Any], context: Any) -> list[Any]:
        """Answer a batch of MMS's: one body per request; status and headers go into ``context``."""
        from sagemaker_inference import mms_service
        from sagemaker_inference.service import run

        model_dir = context.system_properties.get("model_dir")
        with self._lock:
            if self._pipeline is None:
                self._pipeline = _load(model_dir, context)
            pipeline = self._pipeline
        requests = mms_service.read_requests(data, context)
        return mms_service.write_responses(run(pipeline.answer(requests)), context)


def _load(model_dir: str, context: Any) -> Pipeline:
    from sagemaker_inference import program
    from sagemaker_inference.pipeline import Pipeline

    gpu_id = context.system_properties.get("gpu_id") if context else None
    pipeline = Pipeline(program.assembled(program.find(model_dir)), model_dir, gpu_id)
    pipeline.load()
    return pipeline
