"""Many models behind one endpoint: loaded when asked for, unloaded when memory is short.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from contextlib import asynccontextmanager
from os.path import isfile
from typing import TYPE_CHECKING, Final

import anyio
import httpx
from anyio import to_thread

from sagemaker_inference._emulator import archives, errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from sagemaker_inference._emulator.container import Answer
    from sagemaker_inference._emulator.platform import Platform

_MODELS: Final = "/models"
_LOADED: Final = (200, 409)
_NOT_FOUND: Final = 404
_OUT_OF_MEMORY: Final = 507
_FAILED: Final = 500
_SUFFIX: Final = ".tar.gz"
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}

logger = logging.getLogger(__name__)


class _Model:
    """One of the models.

    Attributes:
        target: its name in requests: the archive's path in the folder of models.
        name: its name in the container, of which nothing can be read.
        is_loaded: the container has it in memory.
        users: requests that it works on.
        lock: held while it is loaded or unloaded.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.name = hashlib.sha256(target.encode()).hexdigest()[:32]
        self.is_loaded = False
        self.users = 0
        self.lock = anyio.Lock()


class _Load:
    """A load that somebody waits for.

    Attributes:
        done: set when it has ended.
        failure: why it has failed.
    """

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.failure: errors.PlatformError | None = None


class Models:
    """Invokes one of many models.

    Args:
        platform: the endpoint.
        folder: the archives, as they would be under the model's prefix in S3.
        unpacked: where models are unpacked; the container reads them there.
    """

    def __init__(self, platform: Platform, folder: Path, unpacked: Path) -> None:
        self._platform = platform
        self._container = platform.container
        self._folder = folder
        self._unpacked = unpacked
        # The one that has not been used for longest comes first.
        self._models: dict[str, _Model] = {}

    async def invoke(
        self, request_id: str, target: str | None, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """Send a caller's request to a model, which is loaded first where that is needed.

        Args:
            request_id: the request's id.
            target: the model.
            body: the body.
            headers: the headers.

        Raises:
            PlatformError: it fails.
        """
        if target is None:
            message = f"Request {request_id} is missing a target model header."
            raise errors.validation_error(message)
        model = self._model(target)
        try:
            return await self._invoke(model, body, headers)
        except errors.PlatformError as error:
            status = error.members.get("OriginalStatusCode")
            if status == _OUT_OF_MEMORY and await self._evict(model):
                return await self._invoke(model, body, headers)
            if status == _NOT_FOUND and not await self._is_there(model):
                logger.warning("the container does not have %s any more: loading it", target)
                model.is_loaded = False
                return await self._invoke(model, body, headers)
            raise

    def _model(self, target: str) -> _Model:
        archive = (self._folder / target).resolve()
        # S3 has keys, and no folders: none stands for another one.
        is_key = not {"", ".", ".."}.intersection(target.split("/"))
        is_within = is_key and archive.is_relative_to(self._folder.resolve())
        # Path.is_file raises OSError where a name is too long.
        is_there = isfile(archive)  # noqa: PTH113
        if not (is_within and target.endswith(_SUFFIX) and is_there):
            logger.warning("there is no archive %s", archive)
            message = (
                f"Failed to download model data(bucket: {self._folder.name}, key: {target}). "
                "Please ensure that there is an object located at the URL and that the role passed "
                "to CreateModel has permissions to download the model."
            )
            raise errors.validation_error(message)
        model = self._models.pop(target, None) or _Model(target)
        self._models[target] = model
        return model

    async def _invoke(self, model: _Model, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._in_use(model):
            await self._ensure_loaded(model)
            return await self._container.invoke(f"{_MODELS}/{model.name}/invoke", body, headers)

    @asynccontextmanager
    async def _in_use(self, model: _Model) -> AsyncIterator[None]:
        model.users += 1
        try:
            yield
        finally:
            model.users -= 1

    async def _ensure_loaded(self, model: _Model) -> None:
        if model.is_loaded:
            return
        load = _Load()
        # A load goes on when its caller has been told to come again.
        self._platform.start(self._load, model, load)
        with anyio.move_on_after(self._platform.limits.answer):
            await load.done.wait()
        if not load.done.is_set():
            raise errors.model_not_ready()
        if load.failure is not None:
            raise load.failure

    async def _load(self, model: _Model, load: _Load) -> None:
        try:
            await self._load_once(model)
        except errors.PlatformError as error:
            load.failure = error
        finally:
            load.done.set()

    async def _load_once(self, model: _Model) -> None:
        async with model.lock:
            if model.is_loaded:
                return
            await self._unpack_and_load(model)
            model.is_loaded = True

    async def _unpack_and_load(self, model: _Model) -> None:
        folder = self._unpacked / model.name / "model"
        if not folder.exists():
            await self._unpack(model, folder)
        content = json.dumps({"model_name": model.name, "url": str(folder)}).encode()
        began = anyio.current_time()
        while True:
            answer = await self._ask("POST", _MODELS, content)
            if answer.status in _LOADED:
                break
            if answer.status != _OUT_OF_MEMORY or not await self._evict(model):
                raise errors.model_error(self._platform.identity, answer.status, answer.text)
        took = anyio.current_time() - began
        logger.info("%s is loaded as %s after %.1f s", model.target, model.name, took)

    async def _unpack(self, model: _Model, folder: Path) -> None:
        archive = self._folder / model.target
        unfinished = folder.with_name("unfinished")

        def unpack() -> None:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            archives.unpack(archive, unfinished)
            unfinished.rename(folder)

        try:
            await to_thread.run_sync(unpack)
        except (OSError, ValueError) as error:
            message = f"Unable to extract model data {model.target}: {error}"
            raise errors.validation_error(message) from None

    async def _evict(self, needed: _Model) -> bool:
        """Unload the model that has not been used for longest; False if all are in use."""
        for model in list(self._models.values()):
            if model is needed or not model.is_loaded or model.users:
                continue
            async with model.lock:
                model.is_loaded = False
                logger.info("%s is unloaded: %s needs its memory", model.target, needed.target)
                await self._ask("DELETE", f"{_MODELS}/{model.name}")
                await to_thread.run_sync(shutil.rmtree, self._unpacked / model.name)
            return True
        return False

    async def _is_there(self, model: _Model) -> bool:
        answer = await self._ask("GET", f"{_MODELS}/{model.name}")
        return answer.status != _NOT_FOUND

    async def _ask(self, method: str, path: str, content: bytes = b"") -> Answer:
        headers = _JSON if content else {"Accept": "application/json"}
        try:
            return await self._container.request(
                method, path, content, headers, limit=self._platform.limits.load
            )
        except (TimeoutError, httpx.TransportError):
            raise errors.no_response(self._platform.identity) from None
