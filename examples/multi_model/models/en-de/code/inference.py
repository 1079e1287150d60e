"""Translate words into German; nouns are capitalized, as a program of its own can do.

In: a list of words. Out: a list of words.
"""

from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load(model_dir):
    lines = Path(model_dir, "words.txt").read_text().splitlines()
    return dict(line.split() for line in lines)


@predictor
def translate(data: list[str], words):
    return [words.get(word, word).capitalize() for word in data]


serve(__name__)
