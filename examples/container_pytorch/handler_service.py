"""The one class that Multi Model Server loads."""

from pytorch_handler import PyTorchHandler

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class HandlerService(DefaultHandlerService):
    """Serves a script with AWS's defaults, or a model without a script."""

    def __init__(self):
        super().__init__(Transformer(PyTorchHandler()))
