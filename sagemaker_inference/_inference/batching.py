"""One call of the predictor for several requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagemaker_inference._errors import PredictionError, UnprocessableInputError
from sagemaker_inference._inference import collation
from sagemaker_inference._log import current_request, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._program.concurrency import Batching
    from sagemaker_inference._program.signatures import Handler

logger = get_logger()


def _ignore(_request_ids: Sequence[str]) -> None:
    """Nobody needs to know."""


class Failed(NamedTuple):
    """Returned in place of a prediction: the exception of the predictor on this request."""

    error: BaseException


class Batcher:
    """Calls a predictor once for several requests, with a separate failure for each.

    Args:
        predictor: the predictor.
        options: the options of its decorator.

    Attributes:
        on_retry: called with the ids of the requests that are about to be retried.
    """

    def __init__(self, predictor: Handler, options: Batching) -> None:
        self._predictor = predictor
        self._options = options
        self.on_retry: Callable[[Sequence[str]], None] = _ignore

    def predict(
        self, inputs: Sequence[Any], model: Any, contexts: Sequence[Context]
    ) -> list[Any | Failed]:
        """One prediction, or `Failed`, for each input, in order.

        If the predictor raises on a batch, its halves are retried, and so on, so that only those
        requests that cause the error fail: one of 32 costs 10 more calls, not 32.
        """
        try:
            return list(self._call(list(inputs), model, list(contexts)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is these requests'
            if len(inputs) == 1 or not self._options.retry_one_by_one:
                return [Failed(error)] * len(inputs)
            logger.warning("a batch of %d failed; retrying in halves: %r", len(inputs), error)
        middle = len(inputs) // 2
        results: list[Any | Failed] = []
        for half in (slice(middle), slice(middle, None)):
            ids = [context.request_id for context in contexts[half]]
            self.on_retry(ids)
            # What one alone logs is that request's.
            current_request.set(ids[0] if len(ids) == 1 else "")
            results += self.predict(inputs[half], model, contexts[half])
        return results

    def _call(self, inputs: list[Any], model: Any, contexts: list[Context]) -> Sequence[Any]:
        """Predict for all inputs at once.

        Raises:
            PredictionError: the predictor returned the wrong number of predictions or rows.
            UnprocessableInputError: one of the inputs has no rows to stack.
        """
        if self._options.collate == "list":
            predictions = self._predictor.call(inputs, model, contexts)
            count = collation.length(predictions)
            if count != len(inputs):
                raise PredictionError(self._mismatch("predictions", count, len(inputs)))
            return [predictions[index] for index in range(len(inputs))]
        rows = [collation.row_count(item) for item in inputs]
        if min(rows) < 0:
            message = "Expected rows, but the body is a single value."
            raise UnprocessableInputError(message)
        prediction = self._predictor.call(collation.concatenate(inputs), model, contexts)
        count = collation.row_count(prediction)
        if count != sum(rows):
            raise PredictionError(self._mismatch("rows", count, sum(rows)))
        return collation.split(prediction, rows)

    def _mismatch(self, unit: str, actual: int, expected: int) -> str:
        role = self._predictor.role.name
        if actual < 0:
            return f"The {role} returned a single value, expected {expected} {unit}"
        return f"The {role} returned {actual} {unit}, expected {expected}"
