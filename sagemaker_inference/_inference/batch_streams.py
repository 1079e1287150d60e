"""Streams of several requests that one generator makes: it yields lists, an item for each.

Each request gets a share of the batch, an iterator like that of any stream. The one that is read
first has the generator go on, and the others find their items there: whoever sends them reads all
of them in turn, so that no more than an item of each waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from sagemaker_inference._errors import PredictionError
from sagemaker_inference._inference import collation
from sagemaker_inference._inference.batching import Batcher, Failed
from sagemaker_inference._inference.failures import must_pass
from sagemaker_inference._inference.streams import log_broken_end
from sagemaker_inference._log import current_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._program.concurrency import Batching
    from sagemaker_inference._program.signatures import Handler


class StreamBatcher(Batcher):
    """Calls a predictor that yields lists, with a separate failure for each request.

    Args:
        predictor: the predictor, a generator.
        options: the options of its decorator.
        in_loop: whether the program runs in an event loop.
    """

    def __init__(self, predictor: Handler, options: Batching, *, in_loop: bool) -> None:
        super().__init__(predictor, options)
        self._in_loop = in_loop

    async def predict(
        self, inputs: Sequence[Any], model: Any, contexts: Sequence[Context]
    ) -> list[Any | Failed]:
        """A `Share`, or `Failed`, for each input, in order; the first list is there already.

        If the predictor raises before that, halves of the batch are tried.
        """
        try:
            return await self._open(inputs, model, contexts)
        except BaseException as error:
            if must_pass(error, is_async=self._in_loop):
                raise
            if self._is_final(error, len(inputs)):
                return [Failed(error)] * len(inputs)
        results: list[Any | Failed] = []
        try:
            for half in self._halves(contexts):
                results += await self.predict(inputs[half], model, contexts[half])
        except BaseException:  # it was cancelled
            for share in results:
                if not isinstance(share, Failed):
                    await share.aclose()
            raise
        return results

    async def _open(
        self, inputs: Sequence[Any], model: Any, contexts: Sequence[Context]
    ) -> list[Any]:
        lists = self._predictor.call(list(inputs), model, list(contexts))
        ids = [context.request_id for context in contexts]
        batch: SharedBatch
        if self._in_loop:
            # A program that awaits nothing never pays for asyncio.
            from sagemaker_inference._inference.async_batch_streams import AsyncBatch

            batch = AsyncBatch(lists, ids)
        else:
            batch = SyncBatch(lists, ids)
        await batch.begin()
        return list(batch.shares)


class Share:
    """The items of one request of a batch.

    Attributes:
        waiting: those that were not read yet.
        is_over: whether no more will come.
        is_closed: whether their reader has gone.
    """

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.waiting: deque[Any] = deque()
        self.is_over = False
        self.is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether somebody waits for more."""
        return not (self.is_over or self.is_closed)

    def deal(self, item: Any) -> None:
        """Add an item; None is the end.

        Raises:
            PredictionError: there was an end before.
        """
        if self.is_over and item is not None:
            message = "The predictor yielded an item for a request that it has ended with None."
            raise PredictionError(message)
        if item is None:
            self.is_over = True
        elif not self.is_closed:
            self.waiting.append(item)


class SharedBatch(ABC):
    """A generator and the requests that it answers.

    Args:
        lists: what the predictor yields.
        ids: those of the requests.

    Attributes:
        shares: the items of each request.
        error: what the generator has raised.
    """

    share: type[Share] = Share

    def __init__(self, lists: Any, ids: list[str]) -> None:
        self._lists = lists
        self._ids = ids
        self.shares = [self.share(self) for _ in ids]
        self.error: BaseException | None = None

    @abstractmethod
    async def begin(self) -> None:
        """Have the first list made; what the program raises passes through."""

    @property
    def is_needed(self) -> bool:
        """Whether somebody waits for more items."""
        return any(share.is_open for share in self.shares)

    def _deal(self, items: Any) -> None:
        there, needed = collation.length(items), len(self.shares)
        if there != needed:
            what = "a single value" if there < 0 else f"a list of {there}"
            message = (
                f"The predictor yielded {what} for a batch of {needed}. Yield lists with an item "
                "for each request of the batch, None for those that have ended."
            )
            raise PredictionError(message)
        for index, share in enumerate(self.shares):
            share.deal(items[index])

    def _end(self) -> None:
        for share in self.shares:
            share.is_over = True

    def _log_end(self, error: BaseException) -> None:
        """Say what the generator has raised when it was closed, behind the last item of all."""
        log_broken_end(", ".join(self._ids), error)


class SyncBatch(SharedBatch):
    """One whose program awaits nothing."""

    async def begin(self) -> None:
        self.draw()

    def draw(self) -> None:
        """Have the next list made.

        Raises:
            BaseException: what the program has raised, now or before.
        """
        if self.error is not None:
            raise self.error
        open_ids = [i for i, s in zip(self._ids, self.shares, strict=True) if s.is_open]
        before = current_request.set(",".join(open_ids))
        try:
            self._deal(next(self._lists))
        except StopIteration:
            self._end()
        except BaseException as error:
            self.error = error
            self._lists.close()
            raise
        finally:
            current_request.reset(before)
        try:
            self.close_unneeded()
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._log_end(error)

    def close_unneeded(self) -> None:
        """Close the generator where nobody needs it; what it raises passes through."""
        if not self.is_needed:
            self._lists.close()


class _SyncShare(Share):
    def __next__(self) -> Any:
        while not self.waiting:
            if not self.is_open:
                raise StopIteration
            self._batch.draw()
        return self.waiting.popleft()

    def close(self) -> None:
        """Have the program clean up, once nobody waits for any request of the batch."""
        self.is_closed = True
        self.waiting.clear()
        self._batch.close_unneeded()


SyncBatch.share = _SyncShare
