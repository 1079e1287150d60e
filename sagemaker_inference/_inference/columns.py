"""Rows that a model refuses for their columns are the client's mistake, where the model tells.

Models with the interface of scikit-learn do: ``n_features_in_``, and ``feature_names_in_`` where
they were trained with names.
"""

from __future__ import annotations

import contextlib
import re
from numbers import Integral
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import UnprocessableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHOWN: Final = 10
# How the checks of scikit-learn, XGBoost, LightGBM and CatBoost begin to say it.
_ABOUT_COLUMNS: Final = re.compile(r"feature|column|dimension|shape|\b[12]D\b", re.IGNORECASE)


class ColumnsError(UnprocessableInputError):
    """The model has refused the columns of a request.

    Attributes:
        refusal: what it has raised, for the log: it may be the program's mistake after all.
    """

    def __init__(self, message: str, refusal: BaseException) -> None:
        super().__init__(message)
        self.refusal = refusal


def explained(error: BaseException, data: Any, model: Any) -> BaseException:
    """What a predictor has raised, or in its place the error that names the columns.

    Only what the model's own check of columns has raised, about the columns of the request, is the
    client's mistake. Programs may compute others from them, and fail for any reason.

    Args:
        error: what it has raised.
        data: its input, of one request.
        model: the model.
    """
    # A model's attributes may be computed, and raise anything, as may an error's text.
    with contextlib.suppress(Exception):
        problem = _problem(data, model)
        if problem and _is_check_of_columns(error, model):
            columns = _columns(data)
            if any(_columns(value) == columns for value in _values_below(error, model)):
                message = f"The columns are not those of the model: {problem}."
                return ColumnsError(message, error)
    return error


def _problem(data: Any, model: Any) -> str:
    """How the columns differ from those of the model; "" if they do not, or it does not tell."""
    count, shape = getattr(model, "n_features_in_", None), getattr(data, "shape", None)
    if not isinstance(count, Integral) or not isinstance(shape, tuple):
        return ""
    columns = _columns(data)
    names: list[str] = list(getattr(model, "feature_names_in_", ()))
    if isinstance(columns, list) and names:
        return _problem_of_names(columns, names)
    if len(shape) == 2 and shape[1] == count:  # noqa: PLR2004 - rows and columns
        return ""
    return f"expected rows of {count} numbers, got an array of shape {shape}"


def _columns(data: Any) -> Any:
    """The names of the columns, where all are texts; else how many there are.

    None for what has no columns. Anything may be asked, be it a proxy or a class.
    """
    with contextlib.suppress(Exception):
        names = list(getattr(data, "columns", ()))
        if names and all(isinstance(name, str) for name in names):
            return names
        return data.shape[-1]
    return None


def _problem_of_names(columns: list[str], names: list[str]) -> str:
    if missing := [name for name in names if name not in columns]:
        return f"these are missing: {_listed(missing)}"
    if extra := [name for name in columns if name not in names]:
        return f"these are not among them: {_listed(extra)}"
    return f"expected this order: {_listed(names)}" if columns != names else ""


def _is_check_of_columns(error: BaseException, model: Any) -> bool:
    """Whether an error is of the kinds, and has the words, of a check of columns."""
    library = type(model).__module__.partition(".")[0]
    is_of_library = type(error).__module__.partition(".")[0] == library
    is_refusal = isinstance(error, ValueError) or (is_of_library and isinstance(error, Exception))
    return is_refusal and _ABOUT_COLUMNS.search(str(error)) is not None


def _values_below(error: BaseException, model: Any) -> Iterator[Any]:
    """The variables of the model's method that has failed, and of what it has called.

    They are the one sign that it is the request's columns, and not computed ones, that it refuses.
    """
    is_below = False
    for frame, _line in walk_tb(error.__traceback__):
        is_below = is_below or frame.f_locals.get("self") is model
        if is_below:
            yield from frame.f_locals.values()


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(f"{name!s:.40}" for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
