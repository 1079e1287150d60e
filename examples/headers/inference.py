"""Read what comes with a request, and say more than a body: the context.

The caller names one of two scales in the custom attributes ("scale=fahrenheit"; Celsius otherwise)
and sends temperatures; they come back in kelvins. The answer's custom attributes say which scale
was taken, a header carries the caller's inference id, and the status is 203 where the scale was
guessed.
"""

from http import HTTPStatus

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import BadRequestError


@model_loader
def load():
    # Kelvins = (degrees + offset) / degrees per kelvin.
    return {"celsius": (273.15, 1.0), "fahrenheit": (459.67, 1.8)}


@predictor
def predict(data, model, context):
    attributes = context.custom_attributes or ""
    name, _, scale = attributes.partition("=")
    if name != "scale":
        scale = "celsius"
        context.status = HTTPStatus.NON_AUTHORITATIVE_INFORMATION
    if scale not in model:
        message = f"no scale {scale[:40]!r}; send one of: {', '.join(model)}"
        raise BadRequestError(message, code="unknown_scale")
    context.custom_attributes = f"scale={scale}"
    if context.inference_id is not None:
        context.response_headers["X-Inference-Id"] = context.inference_id
    offset, per_kelvin = model[scale]
    return (data + offset) / per_kelvin


serve(__name__)
