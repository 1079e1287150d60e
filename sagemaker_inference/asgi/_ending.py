"""The end of a program in this process: nothing can interrupt one, so waiting has a limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sagemaker_inference._log import get_logger
from sagemaker_inference._os.interruptible import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference.asgi._model_thread import ModelThread

logger = get_logger()

# Seconds from the request to end until the program has cleaned up: as in the server.
SECONDS: Final = 22.5
# The same where somebody has interrupted the process, or where it ends anyway.
INTERRUPTED_SECONDS: Final = 5.0
# Most programs have ended by then, and there is nothing to say.
_QUIET_SECONDS: Final = 2.0


def is_interruption(kind: type[BaseException] | None) -> bool:
    """Whether a block is left since somebody has interrupted the process, and waits for its end.

    Args:
        kind: what the block has raised; None for nothing.
    """
    return kind is not None and not issubclass(kind, Exception)


def patience(kind: type[BaseException] | None) -> float:
    """How many seconds to wait for the end of a program when a block is left.

    Args:
        kind: as for `is_interruption`.
    """
    return INTERRUPTED_SECONDS if is_interruption(kind) else SECONDS


def wait_for_end(model: ModelThread, seconds: float) -> None:
    """Wait until a program has ended, and log what it is at where that takes a while.

    Args:
        model: the program, which has been closed.
        seconds: how long to wait.
    """
    for pause in _pauses(model, seconds):
        wait_for(model.ended, pause)


async def await_end(model: ModelThread, seconds: float) -> bool:
    """Wait as `wait_for_end` does, in an event loop; returns whether the program has ended."""
    for pause in _pauses(model, seconds):
        await asyncio.wait([asyncio.wrap_future(model.ended)], timeout=pause)
    return model.ended.done()


def _pauses(model: ModelThread, seconds: float) -> Iterator[float]:
    yield _QUIET_SECONDS
    if model.ended.done():
        return
    logger.warning(
        "the program is still at work (%s): waiting for it for up to %g s; Ctrl-C ends the wait",
        model.activity,
        seconds,
    )
    yield seconds - _QUIET_SECONDS
    if not model.ended.done():
        logger.error(
            "the program has not ended within %g s (%s), and is left at work until this process "
            "ends",
            seconds,
            model.activity,
        )
