"""Tables as JSON objects: the orientations of pandas' ``to_json``, and what MLflow sends.

==================================================  =============================================
object                                              who writes it
==================================================  =============================================
``{"a": [1, 2]}``                                   an object of columns
``{"a": {"0": 1, "1": 2}}``                         pandas, ``columns`` (its default)
``{"0": {"a": 1}, "1": {"a": 2}}``                  pandas, ``index``
``{"columns": ["a"], "index": [0], "data": [[1]]}`` pandas, ``split`` and ``tight``
``{"schema": {...}, "data": [{"a": 1}]}``           pandas, ``table``
``{"dataframe_split": {...}}``                      MLflow, an object like that of ``split``
``{"dataframe_records": [...]}``                    MLflow, records
==================================================  =============================================
"""

from __future__ import annotations

import sys
from typing import Any, Final

_SPLIT: Final = {"columns", "data"}
# "tight" adds the names of the index and of the columns.
_OF_SPLIT: Final = _SPLIT | {"index", "index_names", "column_names"}
_TABLE: Final = {"schema", "data"}
# MLflow's parameters of a prediction are not part of the table.
_MLFLOW: Final = (("dataframe_split", dict), ("dataframe_records", list))
_PARAMETERS: Final = "params"


def frame_of(document: dict[str, Any]) -> Any:
    """A data frame of a JSON object.

    Raises:
        ValueError, TypeError: it is not a table.
    """
    for name, kind in _MLFLOW:
        if document.keys() - {_PARAMETERS} == {name} and isinstance(document[name], kind):
            content = document[name]
            return frame_of(content) if kind is dict else _frame(content)
    keys = document.keys()
    if keys >= _SPLIT and keys <= _OF_SPLIT and _are(list, document["data"]):
        return _of_split(document["data"], document["columns"], document.get("index"))
    if keys == _TABLE and isinstance(document["schema"], dict) and _are(dict, document["data"]):
        frame = _frame(document["data"])
        index = [name for name in document["schema"].get("primaryKey", ()) if name in frame]
        return frame.set_index(index) if index else frame
    if document and _are(dict, list(document.values())):
        return _of_objects(document)
    return _frame(document)


def _of_split(rows: list[list[Any]], columns: Any, index: Any) -> Any:
    # pandas would fill up short rows, and repeat the only one.
    is_even = isinstance(columns, list) and all(len(row) == len(columns) for row in rows)
    if not is_even or (index is not None and len(index) != len(rows)):
        message = "the rows do not have the length of the columns, or of the index"
        raise ValueError(message)
    return _frame(rows, index=index, columns=columns)


def _of_objects(document: dict[str, Any]) -> Any:
    """Objects within an object: of columns, unless their names look like those of rows."""
    inner = {name for value in document.values() for name in value}
    are_rows = _are_numbers(document) and not _are_numbers(inner)
    rows = (list(document.values()), list(document)) if are_rows else (document,)
    frame = _frame(*rows)
    if _are_numbers(frame.index):
        frame.index = frame.index.astype("int64")
    return frame


def _frame(*data: Any, **options: Any) -> Any:
    return sys.modules["pandas"].DataFrame(*data, **options)


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _are_numbers(names: Any) -> bool:
    return all(isinstance(name, str) and name.isdecimal() for name in names)
