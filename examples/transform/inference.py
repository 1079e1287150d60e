"""Weigh the words of a review: the whole path of a request in one function.

A transformer stands for decoder, predictor and encoder. It gets the body as it came (as text,
since the parameter says str) and gives the body that goes out, with its content type.
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
    found = [word for word in re.findall(r"\w+", body.lower()) if word in model]
    score = sum(model[word] for word in found)
    if accept == "text/plain":
        return f"{score:+d}\n", "text/plain; charset=utf-8"
    return json.dumps({"score": score, "words": found}), "application/json"


serve(__name__)
