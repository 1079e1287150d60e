"""Recognize handwritten digits with a scikit-learn pipeline, in batches.

In: rows of 64 grey values from 0 (paper) to 16 (ink), an 8 by 8 image each, as CSV, JSON or NPY.
Out: a digit for each row.

A call of the pipeline costs about the same for one row as for many. So `predict` takes batches:
requests that arrive during a prediction are stacked into one array, and each gets its rows of the
result. A request that does not fit fails alone.
"""

from pathlib import Path

import joblib

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError


@model_loader
def load(model_dir):
    return joblib.load(Path(model_dir, "digits.joblib"))


@predictor(max_batch_size=32, collate="concatenate")
def predict(data, model):
    try:
        return model.predict(data)
    except ValueError:
        message = "Send rows of 64 numbers, from 0 to 16."
        raise UnprocessableInputError(message) from None


serve(__name__)
