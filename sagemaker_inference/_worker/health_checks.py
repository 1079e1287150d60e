"""The program's health check, called by a worker between requests."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._ipc.messages import UNHEALTHY, Report
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    import socket

    from sagemaker_inference._inference.servable import Servable

logger = get_logger()


class HealthChecks:
    """Calls the check when it is due, and tells the supervisor when it fails.

    Args:
        servable: what has the check, if any.
        control: the socket to the supervisor.

    Attributes:
        has_failed: whether this worker is to be replaced.
    """

    def __init__(self, servable: Servable, control: socket.socket) -> None:
        self.has_failed = False
        self._control = control
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
        """Call the check if it is due; whether it has failed, as log and supervisor then know."""
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
                "the health check %s %s: this worker is replaced",
                check and check.handler,
                how,
                exc_info=trace,
            )
            self._control.send(Report(UNHEALTHY).dump())
        return self.has_failed
