"""A replica of Ray Serve: one process with one program."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import asgi
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import users_traceback
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference.asgi._exchange import EXTENSION
from sagemaker_inference.ray import _values
from sagemaker_inference.ray._library import needed
from sagemaker_inference.ray._metrics import Mirror

if TYPE_CHECKING:
    from collections.abc import Mapping

# So often, what the program has counted is passed on; Ray itself does every 10 s.
_MIRROR_SECONDS: Final = 5.0
_REQUEST_ID: Final = b"x-request-id"


def existing(path: str, elsewhere: str) -> str:
    """The path as this process sees it: below its working directory, or where it was named."""
    return elsewhere if not Path(path).exists() and Path(elsewhere).exists() else path


def log_requests_once() -> None:
    """Have Ray log requests in the replica's file, and not on standard error as well.

    What is written there, Ray carries to the driver line by line. Its faster way into replicas
    leaves these lines out, too.
    """
    for handler in logging.getLogger("ray.serve").handlers:
        # Others, such as those for files, are of classes derived from it.
        if type(handler) is logging.StreamHandler:
            handler.addFilter(_is_no_access_line)


def _is_no_access_line(record: logging.LogRecord) -> bool:
    return not getattr(record, "serve_access_log", False)


class Replica:
    """The class of a deployment, to which `deployment` adds Ray's.

    Args:
        program: the program's file.
        model_dir: the folder of the model, or None.
        elsewhere: both, where they are seen from the process that has made the deployment.
    """

    # Ray calls it in the event loop in which it asks how the replica is doing.
    async def __init__(  # type: ignore[misc]
        self, program: str, model_dir: str | None, elsewhere: tuple[str, str | None]
    ) -> None:
        log_requests_once()
        program = existing(program, elsewhere[0])
        if model_dir is not None:
            model_dir = existing(model_dir, elsewhere[1] or model_dir)
        self._application = asgi.app(program, model_dir=model_dir)
        model = self._application.start(gpu_id())
        try:
            await asyncio.wrap_future(model.loaded)
        except StartError as error:
            # Ray passes the traceback on as text, and from there, user code is what matters.
            cause = f"\n{users_traceback(error.__cause__)}" if error.__cause__ else ""
            message = f"{error}{cause}".rstrip()
            raise StartError(message) from None

    def __serve_build_asgi_app__(self) -> Ingress:
        """The application, as Ray calls it."""
        return Ingress(self._application)

    def check_health(self) -> None:
        """Called by Ray every ``health_check_period_s``; a replica that fails is replaced.

        Raises:
            RuntimeError: the program cannot answer, as ``/ping`` says.
        """
        problem = self._application.problem
        if problem:
            raise RuntimeError(problem)

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Called by Ray with ``user_config``; see `Application.configure`."""
        self._application.configure(**user_config)

    async def predict(
        self,
        data: Any,
        content_type: str | None = None,
        accept: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = INVOCATIONS,
    ) -> Any:
        """Predict without HTTP, for handles: ``handle.predict.remote(data)``.

        It is a request like those over HTTP, with the same limits, batches and failures: the
        program decodes, predicts and encodes. The result is the decoded prediction.

        Args:
            data: an array is sent as NPY, bytes as they are, anything else as JSON, unless
                ``content_type`` names another format.
            content_type: the format of the data.
            accept: the format of the prediction, as ``application/x-npy`` for an array; by default
                the program's choice, which is JSON for most.
            headers: further headers of the request.
            path: another path of the program.

        Raises:
            RequestError: the request has failed, with its status and message.
        """
        application = self._application
        return await _values.predict(application, data, content_type, accept, headers, path=path)


class InnerReplica(Replica):
    """One that only handles reach: Ray has one deployment with HTTP in an application."""

    async def __init__(  # type: ignore[misc]
        self, program: str, model_dir: str | None, elsewhere: tuple[str, str | None]
    ) -> None:
        await super().__init__(program, model_dir, elsewhere)
        self._is_over = asyncio.Event()
        self._messages = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
        # What Ray does where there is HTTP.
        life = Ingress(self._application)({"type": "lifespan"}, self._receive, self._send)
        self._living = asyncio.ensure_future(life)

    async def _receive(self) -> dict[str, str]:
        message = next(self._messages)
        if message["type"] == "lifespan.shutdown":
            await self._is_over.wait()
        return message

    async def _send(self, message: Any) -> None:
        """Nobody waits for it."""

    async def __del__(self) -> None:
        """Called by Ray when the replica has answered what it has."""
        self._is_over.set()
        await self._living


class Ingress:
    """The application between Ray and the program, from the start of the replica to its end.

    Args:
        application: the program, which is loaded.
    """

    def __init__(self, application: asgi.Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        # One id in the log, in responses and in what Ray says of the request.
        given = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
        extension = {"request_id": given.decode("latin-1")}
        extensions = {**(scope.get("extensions") or {}), EXTENSION: extension}
        await self._application({**scope, "extensions": extensions}, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        mirror = Mirror()
        mirroring = asyncio.create_task(_update(mirror))
        try:
            await self._application(scope, receive, send)
        finally:
            mirroring.cancel()
            mirror.update()


async def _update(mirror: Mirror) -> None:
    while True:
        await asyncio.sleep(_MIRROR_SECONDS)
        mirror.update()


def gpu_id() -> int | None:
    """The GPU of this process, which sees those that Ray has given it, numbered from 0."""
    return 0 if needed("ray").get_gpu_ids() else None
