"""The platform of one endpoint: what its parts share."""

from __future__ import annotations

import logging
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator import process as processes
from sagemaker_inference._emulator.container import Container
from sagemaker_inference._emulator.faults import Reading
from sagemaker_inference._emulator.health import Health
from sagemaker_inference._emulator.identity import called_endpoint
from sagemaker_inference._emulator.scraping import Scraping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from anyio.abc import TaskGroup

    from sagemaker_inference._emulator.identity import Identity
    from sagemaker_inference._emulator.limits import Limits
    from sagemaker_inference._emulator.process import Process

logger = logging.getLogger(__name__)


class Platform:
    """An endpoint with its container.

    Args:
        url: where the container serves.
        identity: the endpoint's names.
        limits: the platform's limits.
        process: the container's process, if it is to be watched, and stopped at the end.
        reading: how the container's answers are read; None for as fast as they come.
        any_name: requests to an endpoint of any name are answered.

    Attributes:
        endpoints: the endpoints that there are, each with its production variants and the share
            of requests that each of them gets.
        async_configs: by the name of an endpoint, its AsyncInferenceConfig, if it has one.
        process: the container's process; None if it is somebody else's.
        on_failed_start: called when the process has ended before it was ready.
    """

    def __init__(  # noqa: PLR0913 - all of them by name
        self,
        url: str,
        identity: Identity,
        limits: Limits,
        *,
        process: Process | None = None,
        reading: Reading | None = None,
        any_name: bool = False,
    ) -> None:
        self.identity = identity
        self.limits = limits
        self.container = Container(url, identity, limits, reading or Reading())
        self.health = Health(self.container)
        self.on_failed_start: Callable[[], None] = lambda: None
        self.process = process
        self._tasks: TaskGroup | None = None
        self._any_name = any_name
        self._default: Mapping[str, float] = {identity.variant: 1.0}
        self.endpoints: dict[str, Mapping[str, float]] = {}
        self.async_configs: dict[str, dict[str, Any]] = {}
        self._deleted: set[str] = set()
        if not any_name:
            self.endpoints[identity.endpoint] = self._default

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ping while within, and stop the container's process after that."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self.health.watch)
            tasks.start_soon(Scraping(self.container).run)
            if self.process is not None:
                tasks.start_soon(self._watch, self.process)
            try:
                yield
            finally:
                # Nobody is surprised by what ends from here on.
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self.stop()
                    await self.container.close()

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """Start a task that lasts as long as the platform runs, or less; it may fail alone."""
        assert self._tasks is not None  # noqa: S101 - requests come while it runs
        self._tasks.start_soon(_alone, function, arguments)

    async def stop(self) -> None:
        """Stop the container's process, if it is to be stopped."""
        if self.process is not None:
            await processes.stop(self.process, self.limits)

    async def _watch(self, process: Process) -> None:
        code = await processes.exited(process)
        if self.health.status == "Creating":
            self.health.status = "Failed"
            logger.error("the container has ended with exit code %d: see its log above", code)
            self.on_failed_start()
        else:
            logger.error(
                "the container has ended with exit code %d: SageMaker would start it again", code
            )

    def delete_endpoint(self, name: str) -> None:
        """Answer no further request to an endpoint, until there is one of this name again."""
        del self.endpoints[name]
        self.async_configs.pop(name, None)
        # Where any name is answered, this one is not.
        self._deleted.add(name)

    def check_endpoint(self, name: str) -> None:
        """Refuse a request to an endpoint that does not take it.

        Raises:
            PlatformError: there is no endpoint of this name in service, or no instance takes
                requests.
        """
        headers.refuse([headers.ENDPOINT_NAME.problem(name)])
        if not self._is_known(name) or self.health.status != "InService":
            raise errors.endpoint_not_found(name, self.identity)
        if not self.health.takes_requests:
            raise errors.service_unavailable()
        called_endpoint.set(name)

    def _is_known(self, name: str) -> bool:
        if name in self.endpoints or not self._any_name:
            return name in self.endpoints
        # "The case is preserved and must be matched in InvokeEndpoint".
        taken = {*self.endpoints, *self._deleted}
        return name.lower() not in map(str.lower, taken)

    def check_variant(self, name: str | None) -> str:
        """The production variant of a request, as the caller or the variants' weights choose it.

        Raises:
            PlatformError: there is none of this name.
        """
        variants = self.endpoints.get(self.identity.called, self._default)
        if name is None:
            weights = list(variants.values())
            # All may have the weight 0.
            is_weighted = any(weights)
            (name,) = random.choices(list(variants), weights if is_weighted else None)  # noqa: S311
        elif name not in variants:
            message = f"Variant {name} of endpoint {self.identity.called} not found."
            raise errors.validation_error(message)
        return name


async def _alone(
    function: Callable[..., Coroutine[Any, Any, None]], arguments: Sequence[object]
) -> None:
    try:
        await function(*arguments)
    except Exception:
        # Or all other tasks of the platform would end, too.
        logger.exception("%s", function.__qualname__)
