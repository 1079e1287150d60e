"""Score the words of a review, from body to body in one function.

A transformer replaces decoder, predictor and encoder. It takes the body of the request (as text,
since the parameter is annotated with str) and returns that of the response with its content type.
"""

import json
import re
from pathlib import Path

from sagemaker_inference import model_loader, serve, transformer
from sagemaker_inference.errors import UnsupportedMediaTypeError


@model_loader
def load(model_dir):
    return json.loads(Path(model_dir, "words.json").read_text())


@transformer
def transform(model, body: str, content_type, accept):
    if not content_type.startswith("text/plain"):
        message = "Send the review as text/plain."
        raise UnsupportedMediaTypeError(message)
    words = [word for word in re.findall(r"\w+", body.lower()) if word in model]
    score = sum(model[word] for word in words)
    if accept == "text/plain":
        return f"{score:+d}\n", "text/plain; charset=utf-8"
    return json.dumps({"score": score, "words": words}), "application/json"


serve(__name__)
