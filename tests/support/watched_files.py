"""What a watch of files sees of changes, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import anyio

from sagemaker_inference._cli._dev import watching

if TYPE_CHECKING:
    from pathlib import Path

# Changes something; and gets the names of what is seen of that.
Change: TypeAlias = Callable[[Callable[[], object]], Awaitable[set[str]]]

_SECONDS = 20.0
# Longer than a watch waits for more, and than links are looked at.
QUIET_SECONDS = 1.5


def watch(
    find: Callable[[], watching.Folders],
    root: Path,
    steps: Callable[[Change], Awaitable[None]],
) -> None:
    """Run steps while files are watched.

    Args:
        find: says what is watched.
        root: what names are relative to.
        steps: gets what makes a change and waits for what is seen.
    """

    async def run() -> None:
        stop, begun, seen = anyio.Event(), anyio.Event(), asyncio.Queue[set[str]]()

        async def note() -> None:
            async for paths in watching.changes(find, stop, begun):
                seen.put_nowait({str(path.relative_to(root)) for path in paths})

        async def change(how: Callable[[], object]) -> set[str]:
            how()
            found = await asyncio.wait_for(seen.get(), _SECONDS)
            while True:
                try:
                    found |= await asyncio.wait_for(seen.get(), QUIET_SECONDS)
                except asyncio.TimeoutError:
                    return found

        task = asyncio.create_task(note())
        await asyncio.wait_for(begun.wait(), _SECONDS)
        await steps(change)
        stop.set()
        await asyncio.wait_for(task, _SECONDS)

    asyncio.run(run())
