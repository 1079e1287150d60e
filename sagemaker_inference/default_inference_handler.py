"""What a framework's container derives its handler from, in AWS's spelling.

A container's own functions stand in for whatever the user's program does not define.
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
    """The functions that a program may leave out.

    Override any of them, as methods or as static methods; the context may be left out, and further
    parameters that have a default keep it. ``default_pre_model_fn(model_dir)`` and
    ``default_model_warmup_fn(model_dir, model)`` are called where a subclass defines them.
    """

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """Load the model.

        Raises:
            NotImplementedError: always; what a model is, only a framework or a program knows.
        """
        del model_dir, context
        raise NotImplementedError(_missing("model_fn(model_dir)", "loads the model"))

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """Read a body of JSON, CSV, NPY or NPZ.

        Raises:
            UnsupportedFormatError: it is none of these.
        """
        del context
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """Predict.

        Raises:
            NotImplementedError: always; as for the model.
        """
        del data, model, context
        raise NotImplementedError(_missing("predict_fn(data, model)", "predicts"))

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """Write a prediction as the JSON, CSV or NPY that the client wants most.

        Returns:
            The body and its content type.

        Raises:
            UnsupportedFormatError: it wants none of these.
        """
        del context
        # Its own order is a set's; where the client leaves the choice, JSON it is.
        known = encoder.SUPPORTED_CONTENT_TYPES
        offers = sorted(known, key=lambda name: name != content_types.JSON)
        chosen = content_types.negotiate(accept, offers)
        if chosen is None:
            raise errors.UnsupportedFormatError(accept)
        return encoder.encode(prediction, chosen), chosen


def _missing(function: str, what: str) -> str:
    return (
        f"nothing {what}: the program defines no {function}, and neither does the default handler. "
        f"Add it to inference.py: def {function}: ..."
    )
