"""Batches of streams in an event loop: a task of its own draws the lists of each."""

from __future__ import annotations

import asyncio
from typing import Any

from sagemaker_inference._inference.batch_streams import Share, SharedBatch
from sagemaker_inference._inference.failures import must_pass
from sagemaker_inference._inference.streams import others_turn


class AsyncBatch(SharedBatch):
    """One whose program runs in an event loop."""

    async def begin(self) -> None:
        self._dealt = asyncio.Event()
        self._read = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._draw())
        try:
            await self._dealt.wait()
        except BaseException:
            await self._stop()
            raise
        if self.error is not None:
            raise self.error

    async def _draw(self) -> None:
        try:
            if hasattr(type(self._lists), "__anext__"):
                async for items in self._lists:
                    if await self._pass(items):
                        break
            else:
                for items in self._lists:
                    await others_turn()
                    if await self._pass(items):
                        break
            self._end()
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self.error = error
        try:
            await self._close_lists()
        except BaseException as error:  # noqa: BLE001 - as above
            self._log_end(error)
        self._dealt.set()

    async def _pass(self, items: Any) -> bool:
        """Deal a list, and wait until it was read; returns whether no more are needed."""
        self._deal(items)
        self._read.clear()
        self._dealt.set()
        self._dealt = asyncio.Event()
        if self.is_needed:
            self.look_whether_read()
            await self._read.wait()
        return not self.is_needed

    async def _close_lists(self) -> None:
        if hasattr(self._lists, "aclose"):
            await self._lists.aclose()
        else:
            self._lists.close()

    async def more(self) -> None:
        """Wait for the next list, or the end.

        Raises:
            BaseException: what the program has raised.
        """
        if not self._task.done():
            await self._dealt.wait()
        if self.error is not None:
            raise self.error

    def look_whether_read(self) -> None:
        """Have the next list made where nobody has an item of the last one to read."""
        if not any(share.waiting for share in self.shares):
            self._read.set()

    async def look_for_end(self) -> None:
        """Have the program clean up where nobody waits for more; what it raises passes through."""
        self.look_whether_read()
        if not self.is_needed:
            await self._stop()
            if self.error is not None and not must_pass(self.error, is_async=True):
                raise self.error

    async def _stop(self) -> None:
        self._task.cancel()
        while not self._task.done():
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError:  # its sender has lost patience
                self._task.cancel()


class _AsyncShare(Share):
    async def __anext__(self) -> Any:
        while not self.waiting:
            if not self.is_open:
                raise StopAsyncIteration
            await self._batch.more()
        item = self.waiting.popleft()
        self._batch.look_whether_read()
        return item

    async def aclose(self) -> None:
        """Have the program clean up, once nobody waits for any request of the batch."""
        self.is_closed = True
        self.waiting.clear()
        await self._batch.look_for_end()


AsyncBatch.share = _AsyncShare
