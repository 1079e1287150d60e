"""Serve the softmax regression that train.py made from Fisher's irises."""

from pathlib import Path

import numpy as np

from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load(model_dir):
    with np.load(Path(model_dir, "iris.npz")) as weights:
        return weights["coefficients"], weights["intercepts"]


@predictor
def predict(data, model):
    coefficients, intercepts = model
    scores = np.asarray(data) @ coefficients + intercepts
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


serve(__name__)
