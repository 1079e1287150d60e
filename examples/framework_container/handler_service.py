"""The one class that Multi Model Server loads."""

from framework_handler import WordsHandler

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class HandlerService(DefaultHandlerService):
    """Serves the user's program, with the framework's functions as defaults."""

    def __init__(self):
        super().__init__(Transformer(default_inference_handler=WordsHandler()))
