"""Name irises with LightGBM.

In: rows of four lengths in centimetres, as CSV, JSON or NPY. Out: a species for each row.

The booster is loaded from LightGBM's text file, and not from a pickle. It predicts with one thread:
the server has a worker for each processor.
"""

from pathlib import Path

import lightgbm
import numpy as np

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

SPECIES = np.array(["setosa", "versicolor", "virginica"])


@model_loader
def load(model_dir):
    return lightgbm.Booster(model_file=Path(model_dir, "model.txt"))


@predictor(max_batch_size=32, collate="concatenate")
def predict(data: np.ndarray, booster):
    try:
        probabilities = booster.predict(data, num_threads=1)
    except lightgbm.basic.LightGBMError:
        message = "Send rows of 4 numbers: lengths in centimetres."
        raise UnprocessableInputError(message) from None
    return SPECIES[probabilities.argmax(axis=1)]


serve(__name__)
