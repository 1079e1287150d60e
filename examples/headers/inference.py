"""Read the headers of a request, and set the status and headers of the response.

The caller sends temperatures, with their scale in the custom attributes ("scale=fahrenheit";
Celsius by default), and gets kelvins. The custom attributes of the response name the scale, a
header has the caller's inference id, and the status is 203 if the scale was assumed.
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
