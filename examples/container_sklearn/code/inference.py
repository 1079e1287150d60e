"""A script for AWS's scikit-learn image: it loads the model, and the image does the rest."""

from pathlib import Path

import joblib


def model_fn(model_dir):
    return joblib.load(Path(model_dir, "model.joblib"))
