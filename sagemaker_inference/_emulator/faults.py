"""Faults on demand: what happens to containers now and then, when a test wants it.

``POST /_emulator/kill-worker``, ``POST /_emulator/sigterm``, and a platform that reads slowly or
hangs up.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import httpx
from starlette.responses import Response

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform

_PROC: Final = Path("/proc")
_WORKER: Final = b"sagemaker_inference._worker"
_ACCEPTED: Final = 202

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the container's answers are read.

    Attributes:
        pause: seconds before each chunk.
        hang_up_after: bytes, after which the connection is closed; None never does.
    """

    pause: float = 0.0
    hang_up_after: int | None = None

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body of an answer, as it comes.

        Raises:
            httpx.TransportError: it broke off, or was broken off.
        """
        size = 0
        async for chunk in response.aiter_raw():
            await anyio.sleep(self.pause)
            size += len(chunk)
            if self.hang_up_after is not None and size > self.hang_up_after:
                logger.warning("hanging up on the container after %d bytes", self.hang_up_after)
                message = "hung up on demand"
                raise httpx.ReadError(message)
            yield chunk


class Faults:
    """Answers requests for faults.

    Args:
        platform: the endpoint.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def sigterm(self, _: Exchange) -> Response:
        """Stop the container as SageMaker does.

        Raises:
            PlatformError: its process is not known.
        """
        process = self._platform.process
        if process is None:
            raise _not_ours()
        self._platform.start(self._platform.stop)
        return _answer(process.pid)

    async def kill_worker(self, _: Exchange) -> Response:
        """Kill one worker of the container, by SIGKILL.

        Raises:
            PlatformError: its process is not known, or has no worker.
        """
        process = self._platform.process
        if process is None:
            raise _not_ours()
        workers = worker_pids(process.pid)
        if not workers:
            message = "The container has no worker of sagemaker_inference"
            raise errors.validation_error(message)
        os.kill(workers[0], signal.SIGKILL)
        logger.warning("worker %d is killed on demand", workers[0])
        return _answer(workers[0])


def worker_pids(pid: int, proc: Path = _PROC) -> list[int]:
    """The workers below a supervisor.

    Args:
        pid: the supervisor's process.
        proc: where Linux describes processes.
    """
    found = []
    for path in proc.glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and _WORKER in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            # It has ended meanwhile.
            continue
    return sorted(found)


def _answer(pid: int) -> Response:
    return Response(json.dumps({"pid": pid}), _ACCEPTED, media_type="application/json")


def _not_ours() -> errors.PlatformError:
    message = "The emulator has not started the container (--url), and does not end its processes"
    return errors.validation_error(message)
