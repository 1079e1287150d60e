"""AWS's ``decoder.decode`` and ``encoder.encode``, looked up at each call.

Containers replace these functions on their modules, and script functions must use the replacement.
Both modules are above this one in the layers: no other import points up.
"""

from __future__ import annotations

from typing import Any


def decode(body: Any, content_type: str) -> Any:
    """Read a body with the current ``sagemaker_inference.decoder.decode``."""
    from sagemaker_inference import decoder

    return decoder.decode(body, content_type)


def encode(prediction: Any, content_type: str) -> Any:
    """Write a prediction with the current ``sagemaker_inference.encoder.encode``."""
    from sagemaker_inference import encoder

    return encoder.encode(prediction, content_type)


def encodable() -> list[str]:
    """The content types that ``sagemaker_inference.encoder`` writes."""
    from sagemaker_inference import encoder

    return sorted(encoder.SUPPORTED_CONTENT_TYPES)
