"""Predict rents, from a script of AWS's functions as AutoGluon's users write it.

In: a table as CSV with a header, or as JSON records. Out: a rent for each row, as CSV or JSON.

`model_fn` and `transform_fn` are what AWS's toolkit calls, and this package serves them unchanged.
With AutoGluon, `model_fn` returns `TabularPredictor.load(model_dir)`.
"""

import io
import json
from pathlib import Path

import pandas as pd


class Predictor:
    """In place of a TabularPredictor: a table in, a column out."""

    def __init__(self, weights):
        self.weights = weights

    def predict(self, table):
        per_area = table["district"].map(self.weights["per_area"])
        return (table["area"] * per_area + self.weights["base"]).rename("rent")


def model_fn(model_dir):
    return Predictor(json.loads(Path(model_dir, "weights.json").read_text()))


def transform_fn(model, body, content_type, accept):
    if content_type == "text/csv":
        table = pd.read_csv(io.StringIO(body))
    elif content_type == "application/json":
        table = pd.DataFrame(json.loads(body))
    else:
        message = f"{content_type} is not supported"
        raise ValueError(message)
    rents = model.predict(table)
    if accept == "text/csv":
        return rents.to_csv(index=False), "text/csv"
    return rents.to_json(orient="values"), "application/json"
