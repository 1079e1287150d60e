"""Pings: whether the endpoint takes requests.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

import anyio
import httpx

if TYPE_CHECKING:
    from sagemaker_inference._emulator.container import Container

Status = Literal["Creating", "InService", "Failed"]

PING: Final = "/ping"
_OK: Final = 200
_LONGEST_BODY: Final = 200
FAILURE_REASON: Final = (
    "The primary container for production variant {variant} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)

logger = logging.getLogger(__name__)


class Health:
    """Pings the container, and knows what the platform makes of the answers.

    Args:
        container: the container.

    Attributes:
        status: the endpoint's.
        failed_pings: how many have failed in a row.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._limits = container.limits
        self._last = ""
        self.status: Status = "Creating"
        self.failed_pings = 0

    @property
    def takes_requests(self) -> bool:
        """Whether requests are sent to the container."""
        return self.status == "InService" and self.failed_pings < self._limits.failed_pings

    @property
    def failure_reason(self) -> str:
        """Why the endpoint has failed; "" if it has not."""
        if self.status != "Failed":
            return ""
        return FAILURE_REASON.format(variant=self._container.identity.variant)

    async def watch(self) -> None:
        """Ping until cancelled, or until the endpoint has failed."""
        began = monotonic()
        while self.status != "Failed":
            result = await self._ping()
            self._note(result, monotonic() - began)
            starts = self.status == "Creating"
            await anyio.sleep(self._limits.first_ping_pause if starts else self._limits.ping_pause)

    async def _ping(self) -> str:
        """Ping once; returns what is wrong, "" if nothing is."""
        began = monotonic()
        try:
            answer = await self._container.get(PING, self._limits.ping)
        except TimeoutError:
            return f"no answer within {self._limits.ping:g} s"
        except httpx.ConnectTimeout:
            return f"no connection within {self._limits.accept * 1000:g} ms"
        except httpx.ConnectError:
            return "nothing listens"
        except httpx.TransportError as error:
            return f"no answer ({type(error).__name__})"
        if answer.status == _OK:
            took = monotonic() - began
            logger.debug("GET /ping: 200 in %.0f ms", took * 1000)
            return ""
        return f"{answer.status} {answer.text[:_LONGEST_BODY]}".rstrip()

    def _note(self, problem: str, age: float) -> None:
        self.failed_pings = self.failed_pings + 1 if problem else 0
        if problem != self._last and problem:
            logger.info("GET /ping: %s", problem)
        if self.status == "Creating":
            if not problem:
                self.status = "InService"
                logger.info("GET /ping: 200 after %.1f s: the endpoint is in service", age)
            elif age >= self._limits.start:
                self.status = "Failed"
                logger.error(
                    "the endpoint has failed after %g s: %s",
                    self._limits.start,
                    self.failure_reason,
                )
        elif not problem and self._last:
            logger.info("GET /ping: 200 again")
        elif self.failed_pings == self._limits.failed_pings:
            logger.warning(
                "%d pings in a row have failed: SageMaker sends no more requests to this "
                "instance, and replaces it",
                self.failed_pings,
            )
        self._last = problem
