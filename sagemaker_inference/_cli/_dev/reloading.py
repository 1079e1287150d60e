"""Load the program again when it has changed; the one before answers until then."""

from __future__ import annotations

import logging
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from anyio.abc import TaskGroup

    from sagemaker_inference._cli._dev.located import Located
    from sagemaker_inference._cli._dev.servers import Server

_STEP_SECONDS: Final = 0.02
_PING_SECONDS: Final = 2.0
# The requests that a server has not heard of when another one takes its place.
_HANDOVER_SECONDS: Final = 2.0
# A server takes at most 22.5 s to end.
STOP_SECONDS: Final = 25.0
# And without waiting for requests.
_HURRY_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 0.2
_OK: Final = 200
# What `sagemaker_inference._log.last_word` begins with.
_LAST_WORDS: Final = "sagemaker-inference: error: "

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """What became of the last load.

    Attributes:
        problem: why the program has not been loaded; "" if it has.
        log: what the server logged meanwhile.
        seconds: how long it took.
    """

    problem: str = ""
    log: Sequence[str] = ()
    seconds: float = 0.0


class Reloader:
    """Has one server answer, and replaces it when the program changes.

    Args:
        start: starts a server that waits for its release.
        locate: where the program and its model are now.
        label: the program's name, for messages.
        limit: the longest load, in seconds.

    Attributes:
        current: the server that answers; None before there is one that can.
        number: how many programs have been loaded.
        loads: how many loads have begun.
        last: what became of the last load.
        is_loading: whether one is in progress.
        is_hurried: whether servers are to end without answering what is in progress.
        may_load: set when a change during a load would be seen.
    """

    def __init__(
        self,
        start: Callable[[], Server],
        locate: Callable[[], Located],
        label: str,
        limit: float,
    ) -> None:
        self._start = start
        self._locate = locate
        self._label = label
        self._limit = limit
        self._spare: Server | None = None
        self._loading: Server | None = None
        self._changed = anyio.Event()
        self._because = ""
        self._busy: dict[Server, int] = {}
        self._client = httpx.AsyncClient(timeout=_PING_SECONDS, trust_env=False)
        self.current: Server | None = None
        self.number = 0
        self.loads = 0
        self.last = Loaded()
        self.is_loading = True
        self.is_hurried = False
        self.may_load = anyio.Event()

    @property
    def target(self) -> Server | None:
        """Where requests go: also a first server that does not answer yet, but for pings."""
        return self.current or self._loading

    @property
    def why_not(self) -> str:
        """Why nothing answers."""
        if self.last.problem:
            return f"{self._label}: {self.last.problem}"
        return f"{self._label} is being loaded"

    # Requests in progress.

    def begin(self, server: Server) -> None:
        """Note that a request is passed on to a server."""
        self._busy[server] = self._busy.get(server, 0) + 1

    def end(self, server: Server) -> None:
        """Note that it is over."""
        self._busy[server] -= 1

    @property
    def in_progress(self) -> int:
        """How many requests are not answered."""
        return sum(self._busy.values())

    # Loads.

    def change(self, paths: Sequence[Path]) -> None:
        """Have the program loaded again.

        Args:
            paths: what has changed.
        """
        names = [path.name for path in paths]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._because = f"{names[0]}{more} changed"
        self.is_loading = True
        self._changed.set()

    def prepare(self) -> None:
        """Start the first server.

        Raises:
            StartError: a variable has a value that cannot be used.
        """
        self._spare = self._start()
        self._changed.set()

    def abandon(self) -> None:
        """End the first server, where `run` has not come to do so."""
        server, self._spare = self._spare, None
        if server is not None:
            server.kill()
            server.close()

    async def run(self) -> None:
        """Load the program, and again whenever it changes; until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    await self._wait_for_change()
                    await self._load(tasks)
                    if not self._changed.is_set():
                        self.is_loading = False
                        self._spare = self._spare or self._start()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _wait_for_change(self) -> None:
        """Wait until there is something to load."""
        while not self._changed.is_set():
            with anyio.move_on_after(_STEP_SECONDS * 5):
                await self._changed.wait()
            self._check_current()
        self._changed = anyio.Event()

    def _check_current(self) -> None:
        """Notice the end of the server that answers."""
        server = self.current
        if server is None or (code := server.poll()) is None:
            return
        self.current = None
        problem = f"the server has ended with {code}; the next change starts another one"
        self.last = Loaded(problem, list(server.lines))
        logger.error("%s: %s", self._label, problem)
        server.close()

    async def _load(self, tasks: TaskGroup) -> None:
        server, self._spare = self._spare, None
        # Somebody may have killed it while it waited, or a link leads elsewhere since.
        if server and (server.poll() is not None or server.located != self._locate()):
            tasks.start_soon(self._stop, server)
            server = None
        server = server or self._start()
        self._loading = server
        self.loads += 1
        await self.may_load.wait()
        began = monotonic()
        server.release()
        problem = await self._load_problem(server, began)
        seconds, self._loading = monotonic() - began, None
        if self._changed.is_set():
            # It would serve what is old already.
            tasks.start_soon(self._stop, server)
            return
        self.last = Loaded(problem, list(server.lines), seconds)
        if problem:
            goes_on = ", and the program before it goes on answering" if self.current else ""
            logger.error("%s is not loaded%s: %s", self._label, goes_on, problem)
            tasks.start_soon(self._stop, server)
            return
        before, self.current = self.current, server
        self.number += 1
        if self._because:
            logger.info("%s: loaded again in %.2f s: %s", self._label, seconds, self._because)
        if before is not None:
            tasks.start_soon(self._stop, before)

    async def _load_problem(self, server: Server, began: float) -> str:
        """Wait until a server is ready; returns why it is not, "" if it is or nobody waits."""
        while not self._changed.is_set():
            code = server.poll()
            if code is not None:
                return _last_words(server.lines) or f"the server has ended with {code}"
            if monotonic() - began > self._limit:
                return f"it has not been loaded within {self._limit:g} s"
            if await self.ping(server) == _OK:
                return ""
            await anyio.sleep(_STEP_SECONDS)
        return ""

    async def ping(self, server: Server) -> int:
        """The status of a server's answer to a ping; 0 for none."""
        with suppress(httpx.TransportError):
            response = await self._client.get(f"{server.url}/ping")
            return response.status_code
        return 0

    # Ends.

    async def _stop(self, server: Server) -> None:
        """Have a server answer what it has got, and end."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_HANDOVER_SECONDS):
                await _until(lambda: self.is_hurried or not self._busy.get(server))
            server.terminate()
            with anyio.move_on_after(STOP_SECONDS):
                await _until(lambda: self.is_hurried or server.poll() is not None)
            with anyio.move_on_after(_HURRY_SECONDS):
                while server.poll() is None:
                    # A second one has it end without waiting; two at once may come as one.
                    server.terminate()
                    await anyio.sleep(_AGAIN_SECONDS)
            if server.poll() is None:
                server.kill()
            server.close()
            self._busy.pop(server, None)

    async def _close(self) -> None:
        """Stop the servers that are left."""
        await self._client.aclose()
        async with anyio.create_task_group() as tasks:
            for server in (self._spare, self._loading, self.current):
                if server is not None:
                    tasks.start_soon(self._stop, server)
            self._spare = None


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - a process sets no event
        await anyio.sleep(_STEP_SECONDS)


def _last_words(lines: Sequence[str]) -> str:
    """Why a server has not started, in its own words."""
    said = [line for line in lines if line.startswith(_LAST_WORDS)]
    return said[-1].removeprefix(_LAST_WORDS) if said else ""
