"""The base class of the default handlers in framework containers, with AWS's names.

The functions of a container are used for those that the user's program does not define.
"""

from __future__ import annotations

from typing import Any

from sagemaker_inference import (
    _content_types as content_types,
)
from sagemaker_inference import (
    _errors as errors,
)
from sagemaker_inference import (
    decoder,
    encoder,
)


class DefaultInferenceHandler:
    """The functions that a program does not have to define.

    Override any of them, as methods or static methods. The context may be omitted, and additional
    parameters keep their defaults. ``default_pre_model_fn(model_dir)`` and
    ``default_model_warmup_fn(model_dir, model)`` are called if a subclass defines them.

    >>> class WordCounts(DefaultInferenceHandler):
    ...     def default_model_fn(self, model_dir):
    ...         return {"a": 1}
    ...     def default_predict_fn(self, data, model):
    ...         return [model.get(word, 0) for word in data]
    >>> WordCounts().default_predict_fn(["a", "b"], {"a": 1})
    [1, 0]
    """

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """Load the model.

        Raises:
            NotImplementedError: always; only a framework or a program can load its models.
        """
        del model_dir, context
        raise NotImplementedError(_missing("model_fn(model_dir)", "loads the model"))

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """Decode a body of JSON, CSV, NPY or NPZ.

        Raises:
            UnsupportedFormatError: the content type is not one of these.
        """
        del context
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """Predict.

        Raises:
            NotImplementedError: always; only a framework or a program can predict.
        """
        del data, model, context
        raise NotImplementedError(_missing("predict_fn(data, model)", "predicts"))

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """Encode a prediction as JSON, CSV or NPY, whichever the client prefers.

        Returns:
            The body and its content type.

        Raises:
            UnsupportedFormatError: the client accepts none of these.
        """
        del context
        # The types are a set, without an order: JSON is the default.
        known = encoder.SUPPORTED_CONTENT_TYPES
        offers = sorted(known, key=lambda name: name != content_types.JSON)
        chosen = content_types.negotiate(accept, offers)
        if chosen is None:
            raise errors.UnsupportedFormatError(accept)
        return encoder.encode(prediction, chosen), chosen


def _missing(function: str, what: str) -> str:
    return (
        f"nothing {what}: neither the program nor the default handler defines {function}. "
        f"Add it to inference.py: def {function}: ..."
    )
