"""Distances to the nearest of three towns; the formats are in a second file.

Importing formats.py registers its decoder and encoder: decorators work in any module that the
program imports above serve(__name__).
"""

import formats  # noqa: F401 - importing it registers the formats
import numpy as np

from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load():
    return {"Aldea": (0.0, 0.0), "Borgo": (30.0, 40.0), "Cidade": (60.0, 0.0)}


@predictor
def predict(data, model):
    towns = np.array(list(model.values()))
    distances = np.linalg.norm(data[:, np.newaxis, :] - towns, axis=-1)
    nearest = distances.argmin(axis=-1)
    return list(zip(np.array(list(model))[nearest], distances.min(axis=-1), strict=True))


serve(__name__)
