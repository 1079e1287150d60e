"""Predictions for a data set of Ray Data."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import asgi
from sagemaker_inference.ray import _values
from sagemaker_inference.ray._library import needed
from sagemaker_inference.ray._replica import existing, gpu_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ray.data import Dataset  # pyright: ignore[reportMissingImports]

OnError = Literal["raise", "column"]

PREDICTION: Final = "prediction"
ERROR: Final = "error"


def map_batches(  # noqa: PLR0913 - the options
    dataset: Dataset,
    program: str | os.PathLike[str],
    *,
    model_dir: str | os.PathLike[str] | None = None,
    columns: str | Sequence[str] | None = None,
    content_type: str = content_types.JSON,
    accept: str = content_types.JSON,
    on_error: OnError = "raise",
    batch_size: int = 256,
    concurrency: int | tuple[int, int] = 1,
    **options: Any,
) -> Dataset:
    """Predict for each row of a data set, with the decoders, batches and encoders of a program.

    >>> import ray  # doctest: +SKIP
    >>> from sagemaker_inference.ray import map_batches
    >>> rows = ray.data.read_csv("s3://bucket/rows/")  # doctest: +SKIP
    >>> found = map_batches(rows, "inference.py", content_type="text/csv", concurrency=4)
    ... # doctest: +SKIP
    >>> found.write_parquet("s3://bucket/predictions/")  # doctest: +SKIP

    Each row is a request: a JSON object of its columns, or in CSV a line of their values, in their
    order. With one column by name, its value is the request: text and bytes as they are, such as
    files that ``ray.data.read_binary_files`` has read. The program has a batch of requests at a
    time, so that its own batches form.

    Args:
        dataset: the rows.
        program: the program's file; see `deployment`.
        model_dir: the folder of the model.
        columns: the column whose value is sent, or those that are; all by default.
        content_type: the format of the requests.
        accept: the format of the predictions, which are decoded.
        on_error: "raise" ends the job with the first failure; "column" goes on, with the failure as
            text in the column ``error``, and None where there is none.
        batch_size: how many rows the program gets at a time.
        concurrency: how many processes, or the least and the most of them.
        options: further options of ``Dataset.map_batches``, such as ``num_gpus``.

    Returns:
        The rows with the column ``prediction``.

    Raises:
        StartError: Ray Data is not installed.
        ValueError: ``on_error`` is something else.
    """
    needed("ray.data")
    if on_error not in ("raise", "column"):
        message = f'on_error must be "raise" or "column", got {on_error!r}'
        raise ValueError(message)
    file, model = os.fspath(program), None if model_dir is None else os.fspath(model_dir)
    return dataset.map_batches(
        Predictions,
        fn_constructor_kwargs={
            "program": file,
            "model_dir": model,
            "elsewhere": (str(Path(file).resolve()), model and str(Path(model).resolve())),
            "columns": columns,
            "content_type": content_type,
            "accept": accept,
            "on_error": on_error,
        },
        batch_size=batch_size,
        batch_format="numpy",
        concurrency=concurrency,
        **options,
    )


class Predictions:
    """A process of Ray Data: a program, and what it predicts for batches of rows.

    Args:
        program, model_dir, columns, content_type, accept, on_error: as for `map_batches`.
        elsewhere: program and model_dir, as they are seen from the process that maps.
    """

    def __init__(  # noqa: PLR0913 - the options
        self,
        *,
        program: str,
        model_dir: str | None,
        elsewhere: tuple[str, str | None],
        columns: str | Sequence[str] | None,
        content_type: str,
        accept: str,
        on_error: OnError,
    ) -> None:
        if model_dir is not None:
            model_dir = existing(model_dir, elsewhere[1] or model_dir)
        self._application = asgi.app(existing(program, elsewhere[0]), model_dir=model_dir)
        self._columns = columns
        self._content_type = content_type
        self._accept = accept
        self._on_error = on_error
        model = self._application.start(gpu_id())
        handler = model.loaded.result()
        # Of those beyond, the queue would refuse some.
        self._most = min(2 * handler.concurrency.limit, model.config.max_queue_size)
        # Where Ray calls, an event loop may be running.
        self._thread = ThreadPoolExecutor(1, "requests")

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Predict for a batch of rows."""
        results = self._thread.submit(asyncio.run, self._predict(batch)).result()
        found = {**batch, PREDICTION: [prediction for prediction, _ in results]}
        if self._on_error == "column":
            found[ERROR] = [error for _, error in results]
        return found

    async def _predict(self, batch: Mapping[str, Any]) -> list[tuple[Any, str | None]]:
        places = asyncio.Semaphore(self._most)
        size = len(next(iter(batch.values()), ()))
        requests = [self._predict_one(batch, index, places) for index in range(size)]
        return await asyncio.gather(*requests)

    async def _predict_one(
        self, batch: Mapping[str, Any], index: int, places: asyncio.Semaphore
    ) -> tuple[Any, str | None]:
        async with places:
            data = self._data(batch, index)
            try:
                prediction = await _values.predict(
                    self._application, data, self._content_type, self._accept
                )
            except _values.RequestError as error:
                if self._on_error == "raise":
                    raise
                return None, str(error)
        return prediction, None

    def _data(self, batch: Mapping[str, Any], index: int) -> Any:
        """What is sent for a row."""
        if isinstance(self._columns, str):
            return batch[self._columns][index]
        columns = list(batch) if self._columns is None else self._columns
        row = {name: batch[name][index] for name in columns}
        if content_types.parse(self._content_type).name == content_types.CSV:
            return [list(row.values())]
        return row
