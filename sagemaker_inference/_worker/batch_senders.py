"""Send the streams of a batch in one thread, an item of each in turn.

The generator that makes them goes on when all have sent what it yielded last: a batch goes at the
pace of the client that reads most slowly, once what waits for that one is more than sockets hold.
"""

from __future__ import annotations

import types
from contextvars import copy_context
from typing import TYPE_CHECKING, NamedTuple

from sagemaker_inference._ipc import slots
from sagemaker_inference._worker.senders import BlockingSender

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterator
    from contextvars import Context
    from typing import Any

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference._worker.senders import Ending, Limits
    from sagemaker_inference._worker.work import Work


@types.coroutine
def _turn_of_others() -> Generator[None, None, None]:
    yield


class _BatchSender(BlockingSender):
    """Sends one stream of a batch, whose others are sent in between.

    Args:
        open_slots: those of the whole batch that are still sent.
    """

    def __init__(
        self, limits: Limits, connection: Connection, response: Response, open_slots: set[int]
    ) -> None:
        super().__init__(limits, connection, response)
        self._open_slots = open_slots

    async def _next(self) -> bytes | None:
        await _turn_of_others()
        return await super()._next()

    def _look(self, now: float) -> None:
        # While this one waits for its client, no other one gets an item.
        for slot in self._open_slots:
            self._limits.table.restart(slot, slots.STREAMING)
        super()._look(now)


class _Sending(NamedTuple):
    work: Work
    response: Response
    coroutine: Coroutine[Any, Any, Ending]
    context: Context


def send_in_turn(limits: Limits, answers: list[tuple[Work, Response]]) -> Iterator[Work]:
    """Send streams of one batch; yields the work of each when it has ended.

    Args:
        limits: what each may take.
        answers: where they go, and the responses, whose bodies are the streams.
    """
    open_slots = {work.connection.slot for work, _ in answers}
    sendings = []
    for work, response in answers:
        sender = _BatchSender(limits, work.connection, response, open_slots)
        # Each has a request id of its own in what is logged.
        sendings.append(_Sending(work, response, sender.send(), copy_context()))
    while sendings:
        for sending in list(sendings):
            try:
                sending.context.run(sending.coroutine.send, None)
            except StopIteration as stop:
                sending.response.body.ending = stop.value  # type: ignore[union-attr]
                sendings.remove(sending)
                open_slots.discard(sending.work.connection.slot)
                yield sending.work
