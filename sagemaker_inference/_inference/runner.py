"""The event loop of a program's async handlers: one from its load to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

_T = TypeVar("_T")


class Runner:
    """Runs coroutines in one event loop, as `asyncio.Runner` does from Python 3.11 on.

    asyncio is imported when there is something to run: most programs await nothing.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a loop, with what the program has opened in it."""
        return self._loop is not None

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end; tasks that it has started go on at the next call.

        Where a task exits, the others are cancelled, so that requests get an answer.
        """
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        try:
            return self._loop.run_until_complete(coroutine)
        except (SystemExit, KeyboardInterrupt):
            self.close()
            raise

    def close(self) -> None:
        """Cancel the tasks that are left and close the loop."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        import asyncio

        try:
            loop.run_until_complete(_cancel_others())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _cancel_others() -> None:
    import asyncio

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
