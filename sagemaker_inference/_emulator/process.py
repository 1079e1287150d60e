"""The container's process: watched while it runs, and stopped as SageMaker stops it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import anyio

if TYPE_CHECKING:
    from sagemaker_inference._emulator.limits import Limits

_STEP_SECONDS: Final = 0.05

logger = logging.getLogger(__name__)


class Process(Protocol):
    """A process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...

    def terminate(self) -> None:
        """Send SIGTERM."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...


async def exited(process: Process) -> int:
    """Wait until a process has ended; returns its exit code."""
    while True:
        code = process.poll()
        if code is not None:
            return code
        await anyio.sleep(_STEP_SECONDS)


async def stop(process: Process, limits: Limits) -> None:
    """Stop the container: SIGTERM, and SIGKILL when its time is up."""
    if process.poll() is not None:
        return
    logger.info("the container gets SIGTERM, and SIGKILL after %g s", limits.stop)
    began = monotonic()
    process.terminate()
    with anyio.move_on_after(limits.stop):
        code = await exited(process)
        took = monotonic() - began
        logger.info("the container has ended with exit code %d after %.1f s", code, took)
        return
    logger.error("the container gets SIGKILL: it ran for %g s after SIGTERM", limits.stop)
    process.kill()
    await exited(process)
