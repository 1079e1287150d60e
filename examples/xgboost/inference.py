"""Name irises with XGBoost.

In: rows of four lengths in centimetres, as CSV, JSON or NPY. Out: a species for each row.

The booster is loaded from XGBoost's JSON, which all its releases read, and not from a pickle. Rows
of requests that arrive during a prediction are predicted together.
"""

from pathlib import Path

import numpy as np
import xgboost

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

SPECIES = np.array(["setosa", "versicolor", "virginica"])


@model_loader
def load(model_dir):
    booster = xgboost.Booster()
    booster.load_model(Path(model_dir, "model.json"))
    return booster


@predictor(max_batch_size=32, collate="concatenate")
def predict(data: np.ndarray, booster):
    try:
        probabilities = booster.inplace_predict(data)
    except ValueError:
        message = "Send rows of 4 numbers: lengths in centimetres."
        raise UnprocessableInputError(message) from None
    return SPECIES[probabilities.argmax(axis=1)]


serve(__name__)
