"""One call of the predictor for several requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    PredictionError,
    UnprocessableInputError,
)
from sagemaker_inference._inference import collation
from sagemaker_inference._inference.batch_sizes import BatchSizes, padded_items, padded_rows
from sagemaker_inference._log import current_request, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        self._sizes = BatchSizes(options.batch_sizes)
        self.on_retry: Callable[[Sequence[str]], None] = _ignore

    async def predict(
        self, inputs: Sequence[Any], model: Any, contexts: Sequence[Context]
    ) -> list[Any | Failed]:
        """One prediction, or `Failed`, for each input, in order.

        If the predictor raises on a batch, its halves are retried, and so on, so that only those
        requests that cause the error fail: one of 32 costs 10 more calls, not 32.
        """
        try:
            return list(self._call(list(inputs), model, list(contexts)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is these requests'
            if self._is_final(error, len(inputs)):
                return [Failed(error)] * len(inputs)
        results: list[Any | Failed] = []
        for half in self._halves(contexts):
            results += await self.predict(inputs[half], model, contexts[half])
        return results

    def _is_final(self, error: BaseException, count: int) -> bool:
        """Whether a batch that has failed is not tried again."""
        if count == 1 or not self._options.retry_one_by_one:
            return True
        cause = error.message if isinstance(error, BaseInferenceToolkitError) else error
        logger.warning("a batch of %d failed; retrying in halves: %r", count, cause)
        return False

    def _halves(self, contexts: Sequence[Context]) -> Iterator[slice]:
        """The halves of a batch, each about to be retried."""
        middle = len(contexts) // 2
        for half in (slice(middle), slice(middle, None)):
            ids = [context.request_id for context in contexts[half]]
            self.on_retry(ids)
            # What one alone logs is that request's.
            current_request.set(",".join(ids))
            yield half

    def _call(self, inputs: list[Any], model: Any, contexts: list[Context]) -> Sequence[Any]:
        """Predict for all inputs at once.

        Raises:
            PredictionError: the predictor returned the wrong number of predictions or rows.
            UnprocessableInputError: one of the inputs has no rows to stack.
        """
        if self._options.collate == "list":
            return self._call_with_items(inputs, model, contexts)
        rows = [collation.row_count(item) for item in inputs]
        if min(rows) < 0:
            message = "Expected rows, but the body is a single value."
            raise UnprocessableInputError(message)
        data, total = collation.concatenate(inputs), sum(rows)
        self._sizes.keep_sample(collation.split(data, [1])[0] if total else None)
        pieces = self._sizes.pieces(total)
        # As it is where one call gets all of it: a slice of some types is a copy.
        parts = collation.split(data, [p.length for p in pieces]) if len(pieces) > 1 else [data]
        predictions = []
        for part, (length, size) in zip(parts, pieces, strict=True):
            prediction = self._call_with_rows(
                padded_rows(part, length, size), size, model, contexts
            )
            if length < size:
                [prediction] = collation.split(prediction, [length])
            predictions.append(prediction)
        return collation.split(collation.joined(predictions), rows)

    def _call_with_rows(self, data: Any, rows: int, model: Any, contexts: list[Context]) -> Any:
        prediction = self._predictor.call(data, model, contexts)
        count = collation.row_count(prediction)
        if count != rows:
            raise PredictionError(self._mismatch("rows", count, rows))
        return prediction

    def _call_with_items(self, inputs: list[Any], model: Any, contexts: list[Context]) -> list[Any]:
        self._sizes.keep_sample(inputs[0])
        results: list[Any] = []
        pieces = self._sizes.pieces(len(inputs))
        lengths = [piece.length for piece in pieces]
        parts = collation.split(inputs, lengths)
        for part, own, (length, size) in zip(
            parts, collation.split(contexts, lengths), pieces, strict=True
        ):
            items = padded_items(part, size)
            predictions = self._predictor.call(items, model, padded_items(own, size))
            there = collation.length(predictions)
            if there != size:
                raise PredictionError(self._mismatch("predictions", there, size))
            results += [predictions[index] for index in range(length)]
        return results

    @property
    def has_idle_work(self) -> bool:
        """Whether there are sizes of batches to try while nobody waits."""
        return self._sizes.has_untried

    def try_all_sizes(self, item: Any, model: Any, context: Context) -> None:
        """Predict a batch of each of `batch_sizes`; what the predictor raises passes through.

        Args:
            item: what the predictor gets of one request: an item of its list, or rows.
            model: the model.
            context: a context for it.
        """
        if self._options.batch_sizes:
            self._sizes.keep_sample(self._first(item))
        while self._sizes.has_untried:
            self._try_next_size(model, context)

    def use_idle_time(self, model: Any, context: Context) -> None:
        """Predict a batch of a size that has not come yet, from rows that have."""
        try:
            self._try_next_size(model, context)
        except BaseException as error:  # noqa: BLE001 - sys.exit must not end the worker either
            self._sizes.give_up()
            logger.warning("the sizes of batches cannot be tried in advance: %r", error)

    def _first(self, item: Any) -> Any:
        if self._options.collate == "list":
            return item
        if collation.row_count(item) < 1:
            message = "@warmup returned no rows: it returns what the predictor gets, or nothing"
            raise PredictionError(message)
        return collation.split(item, [1])[0]

    def _try_next_size(self, model: Any, context: Context) -> None:
        size, sample = self._sizes.next_untried()
        if self._options.collate == "list":
            items, contexts = padded_items([sample], size), padded_items([context], size)
            self._predictor.call(items, model, contexts)
        else:
            self._predictor.call(padded_rows(sample, 1, size), model, [context])

    def _mismatch(self, unit: str, actual: int, expected: int) -> str:
        role = self._predictor.role.name
        if actual < 0:
            return f"The {role} returned a single value, expected {expected} {unit}"
        return f"The {role} returned {actual} {unit}, expected {expected}"
