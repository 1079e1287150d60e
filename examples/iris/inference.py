"""Classify irises: class probabilities by a softmax regression.

In: rows of sepal length, sepal width, petal length and petal width, in centimetres. Out: for each
row, the probabilities of setosa, versicolor and virginica. The client's Content-Type and Accept
choose CSV, JSON or another built-in format.

`load` runs once in each worker, before requests arrive. `predict` runs for each request; a row of
the wrong length is the client's mistake, answered with 422. train.py creates the model.
"""

from pathlib import Path

import numpy as np

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError


@model_loader
def load(model_dir):
    with np.load(Path(model_dir, "iris.npz")) as weights:
        return weights["coefficients"], weights["intercepts"]


@predictor
def predict(data, model):
    coefficients, intercepts = model
    try:
        scores = np.array(data, dtype=float, ndmin=2) @ coefficients + intercepts
    except (TypeError, ValueError):
        message = "Send rows of 4 numbers: lengths in centimetres."
        raise UnprocessableInputError(message) from None
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


serve(__name__)
