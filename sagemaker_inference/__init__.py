"""Decorators that turn plain functions into a SageMaker endpoint.

>>> from sagemaker_inference import model_loader, predictor, serve
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import decoder as _decoder_module
from sagemaker_inference import encoder as _encoder_module
from sagemaker_inference import transformer as _transformer_module
from sagemaker_inference._program.registry import Registry, default_registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, overload

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._http.uploads import Upload
    from sagemaker_inference._inference.assembly import assemble
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._inference.sockets import Fragment
    from sagemaker_inference._program.shapes import StepHandler, TransformerHandler
    from sagemaker_inference.model_server import serve
    from sagemaker_inference.transformer import Transformer as _Transformer

    class DecoderModule(Protocol):
        """The module ``sagemaker_inference.decoder``, which is also the decorator."""

        def __call__(self, *types: str) -> Callable[[StepHandler], StepHandler]:
            """Register a reader of request bodies; see `Registry.decoder`."""
            ...

        def decode(self, obj: Any, content_type: str) -> Any:
            """Read a body with the built-in codecs, as AWS's toolkit does."""
            ...

    class EncoderModule(Protocol):
        """The module ``sagemaker_inference.encoder``, which is also the decorator."""

        SUPPORTED_CONTENT_TYPES: set[str]

        def __call__(self, *types: str) -> Callable[[StepHandler], StepHandler]:
            """Register a writer of response bodies; see `Registry.encoder`."""
            ...

        def encode(self, array_like: Any, content_type: str) -> Any:
            """Write an array with the built-in codecs, as AWS's toolkit does."""
            ...

    class TransformerModule(Protocol):
        """The module ``sagemaker_inference.transformer``, which is also the decorator."""

        Transformer: type[_Transformer]

        @overload
        def __call__(self, function: TransformerHandler, /) -> TransformerHandler: ...
        @overload
        def __call__(
            self, path: str = ..., /
        ) -> Callable[[TransformerHandler], TransformerHandler]: ...

    decoder: DecoderModule
    encoder: EncoderModule
    transformer: TransformerModule

__all__ = [
    "Context",
    "Fragment",
    "InferenceHandler",
    "Registry",
    "Request",
    "Response",
    "Upload",
    "assemble",
    "before_load",
    "bidirectional",
    "decoder",
    "default_registry",
    "encoder",
    "health_check",
    "model_loader",
    "on_shutdown",
    "predictor",
    "serve",
    "session_end",
    "session_start",
    "transformer",
    "warmup",
]
__version__: Final = "2.0.0"

model_loader = default_registry.model_loader
predictor = default_registry.predictor
before_load = default_registry.before_load
warmup = default_registry.warmup
health_check = default_registry.health_check
on_shutdown = default_registry.on_shutdown
bidirectional = default_registry.bidirectional
session_start = default_registry.session_start
session_end = default_registry.session_end


class _CallableModule(ModuleType):
    """A module that is also a decorator: AWS's ``decoder.decode`` and our ``@decoder``.

    Assigning ``__class__`` is documented in "Customizing module attribute access" in Python's data
    model.
    """

    def __call__(self, *arguments: Any) -> Any:
        return getattr(default_registry, self.__name__.rpartition(".")[2])(*arguments)


for _module in (_decoder_module, _encoder_module, _transformer_module):
    _module.__class__ = _CallableModule

# Imported on first use: a program under test needs none of them.
_LAZY: Final = {
    "serve": "sagemaker_inference.model_server",
    "Context": "sagemaker_inference._http.context",
    "Fragment": "sagemaker_inference._inference.sockets",
    "InferenceHandler": "sagemaker_inference._inference.inference_handler",
    "Request": "sagemaker_inference._http.messages",
    "Response": "sagemaker_inference._http.messages",
    "Upload": "sagemaker_inference._http.uploads",
    "assemble": "sagemaker_inference._inference.assembly",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        module = importlib.import_module(_LAZY[name])
    except Exception as error:
        from sagemaker_inference._os import shadows

        # An AttributeError would have Python look for a module of this name.
        advice = shadows.advice(shadows.folder_of_main())
        if advice or isinstance(error, AttributeError):
            raise ImportError(advice or str(error)) from error
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value
