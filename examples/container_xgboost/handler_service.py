"""The one class that Multi Model Server loads."""

import os
from pathlib import Path

from xgboost_handler import AlgorithmHandler, ScriptHandler

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class HandlerService(DefaultHandlerService):
    """Serves a script with AWS's defaults, or without one the built-in algorithm."""

    def initialize(self, context):
        script = Path(context.system_properties.get("model_dir"), "code", "inference.py")
        is_script = os.environ.get("SAGEMAKER_PROGRAM") or script.is_file()
        self._service = Transformer(ScriptHandler() if is_script else AlgorithmHandler())
        super().initialize(context)
