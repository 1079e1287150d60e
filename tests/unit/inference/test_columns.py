"""Rows of other columns than the model has are answered 422, where the model refuses them."""

import numpy as np
import pandas as pd
import pytest

from sagemaker_inference import assemble
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference.errors import UnprocessableInputError

JSON, CSV = "application/json", "text/csv"
REFUSAL = "X has 3 features, but Model is expecting 2 features as input"


class Model:
    """One that was trained with two columns, and checks them as scikit-learn does."""

    n_features_in_ = 2

    def __init__(self, names=(), error=None, columns=2):
        if names:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.error = error or ValueError(REFUSAL)
        self.n_features_in_ = columns

    def predict(self, rows):
        self.check(rows)

    def check(self, rows):
        raise self.error


class Unfitted(Model):
    """One that computes what it tells."""

    @property
    def feature_names_in_(self):
        raise RuntimeError


class LibraryError(Exception):
    """As LightGBM's, which is of no built-in kind."""


class SilentError(ValueError):
    """One whose text cannot be had."""

    def __str__(self):
        raise RuntimeError


def predict_rows(data, model):
    return model.predict(data)


def answer(registry, model, body, content_type=JSON, hint=np.ndarray, handler=None, **options):
    def predict(data, model):
        return (handler or predict_rows)(data, model)

    predict.__annotations__ = {"data": hint}
    registry.model_loader(lambda: model)
    registry.predictor(**options)(predict)
    handler_of_all = assemble(registry)
    handler_of_all.load(".")
    requests = [Request.from_body(body, content_type)]
    (response,) = run_without_loop(handler_of_all.answer(requests))
    return response.status, bytes(response.body).decode()


@pytest.mark.parametrize("options", [{}, {"max_batch_size": 2, "collate": "concatenate"}])
@pytest.mark.parametrize(("body", "shape"), [(b"[[1, 2, 3]]", r"(1, 3)"), (b"[1, 2]", "(2,)")])
def test_a_wrong_number_of_columns_is_named(registry, body, shape, options):
    status, text = answer(registry, Model(), body, **options)
    said = (
        "The columns are not those of the model: expected rows of 2 numbers, got an array of shape"
    )
    assert status == 422
    assert f"{said} {shape}." in text


def test_missing_columns_are_named(registry):
    model = Model([f"c{number}" for number in range(13)])
    status, text = answer(registry, model, b"c0,c12\n1,2\n", CSV, pd.DataFrame)
    assert status == 422
    names = ", ".join(f"c{number}" for number in range(1, 11))
    assert f"The columns are not those of the model: these are missing: {names} and 1 more." in text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"b,a\n1,2\n", "expected this order: a, b"),
        (b"a,b,c\n1,2,3\n", "these are not among them: c"),
    ],
)
def test_the_order_and_more_columns_are_named(registry, body, problem):
    status, text = answer(registry, Model(["a", "b"]), body, CSV, pd.DataFrame)
    assert status == 422
    assert f"The columns are not those of the model: {problem}." in text


@pytest.mark.parametrize(
    ("model", "body", "content_type", "hint"),
    [
        # What is wrong is not the columns.
        (Model(), b"[[1, 2]]", JSON, np.ndarray),
        (Model(["a", "b"]), b"a,b\n1,2\n", CSV, pd.DataFrame),
        # Nobody tells.
        (Model(columns=None), b"[[1]]", JSON, np.ndarray),
        (Model(), b'{"a": 1}', JSON, dict),
        (Unfitted(), b"[[1]]", JSON, np.ndarray),
    ],
)
def test_other_failures_are_the_programs(registry, model, body, content_type, hint):
    assert answer(registry, model, body, content_type, hint)[0] == 500


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionError("the store of features is down"), 500),
        (TimeoutError("no features in time"), 500),
        (NameError("name 'features' is not defined"), 500),
        (KeyError("feature"), 500),
        (ValueError("Input X contains NaN"), 500),
        (SilentError(), 500),
        (MemoryError("of these dimensions"), 507),
        (SystemExit("columns"), 500),
        (LibraryError("The number of features in data (3) is not 2"), 422),
        (ValueError("Expected 2D array, got 1D array instead"), 422),
    ],
)
def test_only_a_check_of_columns_is_the_clients(registry, error, status):
    assert answer(registry, Model(error=error), b"[[1, 2, 3]]")[0] == status


@pytest.mark.parametrize(
    "error", [ConnectionError("the store is down"), ValueError(REFUSAL), MemoryError(REFUSAL)]
)
def test_what_the_program_itself_raises_stays_its_own(registry, error):
    def fail(data, model):
        raise error

    expected = 507 if isinstance(error, MemoryError) else 500
    assert answer(registry, Model(), b"[[17]]", handler=fail)[0] == expected


def test_columns_that_the_program_computes_are_its_own(registry):
    # The request has the number of an account; the program looks three features up, of two.
    def look_up(data, model):
        del data
        return model.predict(np.ones((1, 3)))

    assert answer(registry, Model(), b"[[17]]", handler=look_up)[0] == 500


def test_columns_that_pass_through_the_program_are_the_clients(registry):
    def as_floats(data, model):
        return model.predict(data.astype("float32"))

    assert answer(registry, Model(), b"[[1, 2, 3]]", handler=as_floats)[0] == 422


def test_the_log_has_what_the_model_has_raised(registry, caplog):
    assert answer(registry, Model(), b"[[1, 2, 3]]")[0] == 422
    (record,) = [each for each in caplog.records if "refused its columns" in each.message]
    assert str(record.exc_info[1]) == REFUSAL
    assert record.exc_info[2] is not None


def test_a_table_without_names_is_counted(registry):
    status, text = answer(registry, Model(["a", "b"]), b"1,2,3\n", CSV, pd.DataFrame)
    assert status == 422
    assert "expected rows of 2 numbers" in text


def test_what_the_program_says_itself_stays(registry):
    model = Model(error=UnprocessableInputError("Send two lengths."))
    assert "Send two lengths." in answer(registry, model, b"[[1, 2, 3]]")[1]
