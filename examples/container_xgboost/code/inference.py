"""A script for AWS's XGBoost image: it gets a DMatrix of every format that the image reads."""

from pathlib import Path

import xgboost


def model_fn(model_dir):
    booster = xgboost.Booster()
    booster.load_model(Path(model_dir, "model.ubj"))
    return booster


def predict_fn(data, model):
    return model.predict(data) / 100
