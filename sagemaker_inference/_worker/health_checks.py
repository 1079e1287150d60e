"""The program's health check, called between requests."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.servable import Servable

logger = get_logger()


class HealthChecks:
    """Calls the check when it is due, and passes on that it has failed.

    Args:
        servable: what has the check, if any.
        on_failed: called each time that it fails.
        consequence: what follows from that, for the log.

    Attributes:
        has_failed: whether it failed when it was called last.
    """

    def __init__(
        self, servable: Servable, on_failed: Callable[[], object], consequence: str
    ) -> None:
        self.has_failed = False
        self._on_failed = on_failed
        self._consequence = consequence
        self._handler: InferenceHandler | None = None
        self._interval = self._due = inf
        if isinstance(servable, InferenceHandler) and servable.health_check is not None:
            self._handler = servable
            self._interval = servable.health_check.interval
            self._due = monotonic() + self._interval

    @property
    def exist(self) -> bool:
        """Whether the program has a check."""
        return self._handler is not None

    @property
    def wait(self) -> float:
        """Seconds until the next call; infinite where there is none."""
        return max(0.0, self._due - monotonic())

    def fail(self) -> bool:
        """Call the check if it is due; whether it has failed, which is then logged."""
        if self._handler is None or monotonic() < self._due:
            return False
        try:
            self.has_failed = not self._handler.is_healthy()
            trace = None
        except Exception as error:  # noqa: BLE001 - whatever user code raises
            self.has_failed = True
            trace = users_exc_info(error)
        self._due = monotonic() + self._interval
        if self.has_failed:
            check = self._handler.health_check
            how = "raised" if trace else "returned False"
            logger.error(
                "the health check %s %s: %s",
                check and check.handler,
                how,
                self._consequence,
                exc_info=trace,
            )
            self._on_failed()
        return self.has_failed
