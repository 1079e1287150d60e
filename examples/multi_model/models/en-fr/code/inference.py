"""Translate words into French: one of the models of this example, each with a program of its own.

In: a list of words. Out: a list of words.
"""

import json
from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load(model_dir):
    return json.loads(Path(model_dir, "words.json").read_text())


@predictor
def translate(data: list[str], words):
    return [words.get(word, word) for word in data]


serve(__name__)
