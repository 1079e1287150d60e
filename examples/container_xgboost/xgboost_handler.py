"""The functions that AWS's XGBoost image has, for those that a script does not define."""

import json
import os
from pathlib import Path

import numpy as np
import xgboost
from scipy import sparse

from sagemaker_inference import codecs, content_types
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.errors import (
    DecodeError,
    UnprocessableInputError,
    UnsupportedFormatError,
)

LIBSVM = "text/libsvm"
READABLE = (content_types.CSV, LIBSVM, "text/x-libsvm", "application/x-recordio-protobuf")
WRITABLE = (content_types.CSV, content_types.JSON)
# Between the cells of CSV, where its first line has no comma.
DELIMITERS = (";", "\t", "|", " ")
# Their predictions are classes, which have no mean.
VOTING = ("multi:softmax", "binary:hinge")


class ScriptHandler(DefaultInferenceHandler):
    """With a script: a DMatrix in, and predictions in the format that the client accepts."""

    def default_model_fn(self, model_dir):
        files = sorted(path for path in Path(model_dir).iterdir() if path.is_file())
        files = [path for path in files if not path.name.startswith(".")]
        if not files:
            message = f"There is no model in {model_dir}: put a file of Booster.save_model there."
            raise FileNotFoundError(message)
        if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") != "true":
            del files[1:]
        return [xgboost.Booster(model_file=path) for path in files]

    def default_input_fn(self, body, content_type):
        return as_matrix(rows_of(body, content_type))

    def default_predict_fn(self, data, model):
        boosters = model if isinstance(model, list) else [model]
        try:
            predictions = [booster.predict(data, validate_features=False) for booster in boosters]
        except xgboost.core.XGBoostError as error:
            expected = boosters[0].num_features()
            if data.num_col() <= expected:
                raise
            raise misfit(expected, data.num_col()) from error
        if len(predictions) == 1:
            return predictions[0]
        if objective_of(boosters[0]) in VOTING:
            return most_voted(predictions)
        return np.mean(predictions, axis=0)


class AlgorithmHandler(ScriptHandler):
    """Without a script, as the built-in algorithm."""

    def default_input_fn(self, body, content_type):
        rows = rows_of(body, content_type)
        # A row of sparse data has all columns, whether or not it names the last of them.
        return as_matrix(rows), sparse.issparse(rows)

    def default_predict_fn(self, data, model):
        matrix, is_sparse = data
        expected = model[0].num_features()
        if not is_sparse and matrix.num_col() < expected:
            raise misfit(expected, matrix.num_col())
        return super().default_predict_fn(matrix, model)

    def default_output_fn(self, prediction, accept):
        chosen = content_types.negotiate(accept, WRITABLE)
        if chosen is None:
            raise UnsupportedFormatError(accept)
        values = prediction.tolist()
        # In a batch transform job, a line is a record.
        if os.environ.get("SAGEMAKER_BATCH"):
            return "".join(f"{value}\n" for value in values), chosen
        # Of many models, AWS's image answers as it has always done.
        if os.environ.get("SAGEMAKER_MULTI_MODEL") == "true":
            is_json = chosen == content_types.JSON
            return json.dumps(values) if is_json else ",".join(map(str, values)), chosen
        if chosen == content_types.JSON:
            values = {"predictions": [{"score": value} for value in values]}
        return super().default_output_fn(values, chosen)


def rows_of(body, content_type):
    """The rows of a body: an array, or a sparse matrix."""
    name = (content_type or LIBSVM).partition(";")[0]
    if name not in READABLE:
        raise UnsupportedFormatError(content_type)
    if name == content_types.CSV:
        body = with_commas(body)
    return codecs.for_content_type(name).decode(body, content_type or name)


def with_commas(text):
    """CSV with commas, whichever delimiter its first line has."""
    text = text.strip("\r\n ")
    first = text.partition("\n")[0]
    if "," not in first:
        for delimiter in DELIMITERS:
            if delimiter in first:
                return text.replace(delimiter, ",")
    return text


def as_matrix(rows):
    """Rows as a DMatrix."""
    try:
        return xgboost.DMatrix(rows)
    except (TypeError, ValueError) as error:
        message = "The body has to have rows of numbers."
        raise DecodeError(message) from error


def most_voted(predictions):
    """The class that most models predict, for each row; the lowest of several."""
    classes = np.unique(predictions)
    votes = [np.sum(np.equal(predictions, one), axis=0) for one in classes]
    return classes[np.argmax(votes, axis=0)]


def objective_of(booster):
    """What a booster was trained for, such as multi:softmax."""
    return json.loads(booster.save_config())["learner"]["objective"]["name"]


def misfit(expected, columns):
    """The error for rows that do not fit a model."""
    message = f"The model has {expected} columns, and the rows have {columns}."
    return UnprocessableInputError(message)
