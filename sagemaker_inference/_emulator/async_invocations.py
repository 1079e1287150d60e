"""InvokeEndpointAsync.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import anyio
from anyio import to_thread
from starlette.responses import Response

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator.container import INVOCATIONS
from sagemaker_inference._log import escaped

if TYPE_CHECKING:
    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.storage import Storage

API: Final = "InvokeEndpointAsync"
_ROOT: Final = "X-Amzn-SageMaker-"
_INPUT: Final = f"{_ROOT}InputLocation"
_TTL: Final = f"{_ROOT}RequestTTLSeconds"
_TIMEOUT: Final = f"{_ROOT}InvocationTimeoutSeconds"
_OUTPUT: Final = f"{_ROOT}OutputLocation"
_FAILURE: Final = f"{_ROOT}FailureLocation"
_EXTENSION: Final = f"{_ROOT}S3OutputPathExtension"
_FILENAME: Final = f"{_ROOT}Filename"
_ACCEPTED: Final = 202
# The default and the limits of both, in seconds.
_TTLS: Final = (21600, 60, 21600)
_TIMEOUTS: Final = (900, 1, 3600)
# How many requests an instance works on: SageMaker chooses it where the configuration does not.
_AT_ONCE: Final = 4

logger = logging.getLogger(__name__)


class AsyncInvocations:
    """Answers InvokeEndpointAsync.

    Args:
        platform: the endpoint.
        storage: where inputs and outputs are.
    """

    def __init__(self, platform: Platform, storage: Storage) -> None:
        self._platform = platform
        self._storage = storage
        self._places: dict[str, anyio.CapacityLimiter] = {}
        identity = platform.identity
        bucket = f"sagemaker-{identity.region}-{identity.account}"
        outputs = f"s3://{bucket}/async-inference/{identity.endpoint}"
        self._usual = {"S3OutputPath": outputs, "S3FailurePath": f"{outputs}-failures"}

    async def invoke(self, exchange: Exchange) -> Response:
        """Accept a request.

        Raises:
            PlatformError: it is not valid.
        """
        platform = self._platform
        body = await exchange.body(platform.limits.inline_size)
        headers.check(exchange.headers)
        platform.check_endpoint(exchange.endpoint)
        return self.accept(exchange, body)

    def accept(self, exchange: Exchange, body: bytes) -> Response:
        """Begin with a request that may be one.

        Args:
            exchange: the request.
            body: the input, where it is in the request.

        Raises:
            PlatformError: it is not valid.
        """
        platform, sent = self._platform, exchange.headers
        patience = _seconds(sent.get(_TTL), "requestTTLSeconds", _TTLS)
        limit = _seconds(sent.get(_TIMEOUT), "invocationTimeoutSeconds", _TIMEOUTS)
        source = self._source(_text(sent.get(_INPUT)), body)
        inference_id = sent.get(headers.INFERENCE_ID, str(uuid4()))
        name = str(uuid4())
        config = platform.async_configs.get(platform.identity.called, {})
        outputs = self._usual | config.get("OutputConfig", {})
        extension = sent.get(_EXTENSION, "").strip("/")
        folder = outputs["S3OutputPath"].rstrip("/")
        failure = f"{outputs['S3FailurePath'].rstrip('/')}/{name}-error.out"
        self._check(f"{folder}/{name}", "S3OutputPath")
        self._check(failure, "S3FailurePath")
        folder = f"{folder}/{extension}" if extension else folder
        output = f"{folder}/{sent.get(_FILENAME, f'{name}.out')}"
        self._check(output, "S3OutputPathExtension")
        passed = {
            headers.INFERENCE_ID: inference_id,
            **headers.to_container(sent, headers.ASYNC, API),
        }
        places = self._places_of(config)
        work = _Work(source, body, passed, output, failure, limit, places)
        platform.start(self._process, work, anyio.current_time() + patience)
        return Response(
            json.dumps({"InferenceId": inference_id}),
            _ACCEPTED,
            {_OUTPUT: output, _FAILURE: failure},
            "application/json",
        )

    def _places_of(self, config: dict[str, Any]) -> anyio.CapacityLimiter:
        """How many requests to the endpoint that is called are worked on at a time."""
        client = config.get("ClientConfig", {})
        most = client.get("MaxConcurrentInvocationsPerInstance", _AT_ONCE)
        name = self._platform.identity.called
        places = self._places.setdefault(name, anyio.CapacityLimiter(most))
        places.total_tokens = most
        return places

    def _source(self, location: str | None, body: bytes) -> str:
        """The input's location; "" where it is in the request."""
        if location is None:
            if not body:
                message = "Either InputLocation or Body is required."
                raise errors.validation_error(message)
            return ""
        self._check(location, "InputLocation")
        return location

    def _check(self, location: str, member: str) -> None:
        try:
            self._storage.path(location)
        except ValueError as error:
            message = f"Invalid {member}: {error}"
            raise errors.validation_error(message) from None

    async def _process(self, work: _Work, expires: float) -> None:
        async with work.places:
            try:
                if anyio.current_time() > expires:
                    message = "The request has expired: it was queued for longer than its TTL"
                    raise errors.validation_error(message)
                body = await self._input(work)
                answer = await self._platform.container.invoke(
                    INVOCATIONS, body, work.headers, work.limit
                )
            except errors.PlatformError as error:
                logger.warning("an asynchronous request has failed: %s", escaped(str(error)))
                content = error.members.get("OriginalMessage") or error.message
                await self._write(work.failure, content.encode())
                return
        await self._write(work.output, answer.body)

    async def _input(self, work: _Work) -> bytes:
        if not work.source:
            return work.body
        path = self._storage.path(work.source)
        try:
            if path.exists() and not path.is_file():
                # A pipe or a device might never end.
                message = f"Failed to download {work.source}: it is not a file: {path}"
                raise errors.validation_error(message)
            size = path.stat().st_size
            most = self._platform.limits.async_size
            if size > most:
                message = f"The input has {size} bytes: at most {most} are allowed"
                raise errors.validation_error(message)
            return await to_thread.run_sync(path.read_bytes)
        except OSError as error:
            message = f"Failed to download {work.source}: {error.strerror}: {path}"
            raise errors.validation_error(message) from None

    async def _write(self, location: str, content: bytes) -> None:
        """Write an answer, and say where it is, or why not."""
        try:
            await to_thread.run_sync(self._storage.write, location, content)
        except OSError as error:
            # A line says it: the folder is the user's.
            logger.error("%s cannot be written: %s", escaped(location), error)  # noqa: TRY400
            return
        path = str(self._storage.path(location))
        logger.info("an asynchronous request is answered: %s", escaped(path))


@dataclass(frozen=True, slots=True)
class _Work:
    """An accepted request."""

    source: str
    body: bytes
    headers: dict[str, str]
    output: str
    failure: str
    limit: float
    places: anyio.CapacityLimiter


def _text(header: str | None) -> str | None:
    """A header's text; what is not ASCII, clients send as UTF-8, or as Latin-1."""
    try:
        return None if header is None else header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


def _seconds(text: str | None, member: str, limits: tuple[int, int, int]) -> int:
    default, least, most = limits
    if text is None:
        return default
    value = int(text) if text.isdecimal() else -1
    if least <= value <= most:
        return value
    which, bound = ("greater", least) if value < least else ("less", most)
    message = (
        f"1 validation error detected: Value '{text}' at '{member}' failed to satisfy constraint: "
        f"Member must have value {which} than or equal to {bound}"
    )
    raise errors.validation_error(message)
