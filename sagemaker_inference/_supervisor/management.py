"""The management interface: what clients ask about models over HTTP.

``POST /models`` loads, ``GET /models`` lists, ``GET /models/NAME`` describes, ``PUT /models/NAME``
scales and ``DELETE /models/NAME`` unloads, in the words of Multi Model Server. The front end passes
these requests on; nothing here waits.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote

from sagemaker_inference._errors import StartError
from sagemaker_inference._http.error_response import one_line
from sagemaker_inference._log import escaped, get_logger
from sagemaker_inference._parsers import MOST_WORKERS
from sagemaker_inference._program import location
from sagemaker_inference._supervisor import load_request
from sagemaker_inference._supervisor.management_error import (
    BAD_REQUEST,
    CONFLICT,
    FAILED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OUT_OF_MEMORY,
    UNAVAILABLE,
    ManagementError,
)
from sagemaker_inference._supervisor.metrics import resident_bytes
from sagemaker_inference._supervisor.model_repository import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request
    from sagemaker_inference._supervisor.load_request import LoadRequest
    from sagemaker_inference._supervisor.model_repository import ModelRepository
    from sagemaker_inference._supervisor.outcome import Outcome
    from sagemaker_inference._supervisor.settings import Settings
    from sagemaker_inference._supervisor.worker_handle import WorkerHandle

logger = get_logger()

_ROOT: Final = "models"
_PATHS: Final = ("/models", "/models/*")
# Where models are invoked; asked about only while there is a model without workers.
_INVOCATIONS: Final = ("/models/*/invoke", "/predictions/*")
_PAGE: Final = 100
_OK: Final = 200
_ACCEPTED: Final = 202
# More than there are slots for.
_SCALED: Final = "Workers scaled"
_PROCESSING: Final = "Processing worker updates..."


class Management:
    """Answers requests about models.

    Args:
        settings: how each model is served, but for what a request says.
        repository: the models.
        front_end: what requests come from.
    """

    def __init__(
        self, settings: Settings, repository: ModelRepository, front_end: FrontEndProcess
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._front_end = front_end
        self._loads = 0
        self._asked: tuple[str, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Have the front end ask about what it has no route for."""
        has_idle = any(model.deployment is None for model in self._repository.models)
        asked = (*_PATHS, *(_INVOCATIONS if has_idle else ()))
        if asked != self._asked:
            self._asked = asked
            self._front_end.ask(asked)

    def handle(self, request: Request) -> None:
        """Answer a request, now or later."""
        try:
            self._route(request)
        except ManagementError as error:
            self._refuse(request, error)
        except Exception:
            logger.exception("%s %s failed", request.method, escaped(request.target))
            self._refuse(request, ManagementError(FAILED, "The server failed; its log says why"))

    def _route(self, request: Request) -> None:
        path, _, query = request.target.partition("?")
        fields: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            fields.setdefault(name, value)
        first, *rest = [unquote(segment) for segment in path.split("/")[1:]]
        routes: dict[str, Callable[[Request, str, Mapping[str, str]], None]]
        if first != _ROOT or len(rest) > 1:
            raise self._not_invokable(rest[0] if rest else "")
        if rest:
            routes = {"GET": self._describe, "PUT": self._scale, "DELETE": self._unload}
        else:
            routes = {"GET": self._list, "POST": self._load}
        handler = routes.get(request.method)
        if handler is None:
            message = f"The method is {request.method}; this path takes {', '.join(routes)}."
            self._refuse(
                request, ManagementError(METHOD_NOT_ALLOWED, message), allow=", ".join(routes)
            )
            return
        handler(request, rest[0] if rest else "", fields)

    def _find(self, name: str) -> Model:
        model = self._repository.find(name)
        if model is None:
            raise ManagementError(NOT_FOUND, f"Model not found: {name}")
        return model

    def _not_invokable(self, name: str) -> ManagementError:
        """The refusal of a request to a model that no worker serves."""
        self._find(name)
        message = f"No worker is available to serve request for model: {name}."
        return ManagementError(UNAVAILABLE, message)

    # Loading.

    def _load(self, request: Request, _name: str, fields: Mapping[str, str]) -> None:
        types = [value for name, value in request.headers if name.lower() == "content-type"]
        asked = load_request.read(fields, types[0] if types else "", request.body)
        name = asked.name
        if self._repository.find(name) is not None:
            raise ManagementError(CONFLICT, f"Model {name} is already registered.")
        if not self._repository.takes_loads:
            raise ManagementError(UNAVAILABLE, "The server is stopping")
        try:
            settings = self._settings_of(asked)
        except StartError as error:
            logger.error("model %s: %s", escaped(name), error)  # noqa: TRY400 - it has said it all
            raise ManagementError(FAILED, _not_loaded(name, str(error))) from None
        model = Model(settings, _routes(name), asked.url, asked.version)
        if not asked.is_synchronous:
            self._answer(request, _ACCEPTED, _PROCESSING)

        self._repository.load(model, lambda outcome: self._on_loaded(request, asked, outcome))

    def _on_loaded(self, request: Request, asked: LoadRequest, outcome: Outcome) -> None:
        self.refresh()
        if not outcome.cause:
            logger.info("model %s is loaded%s", escaped(asked.name), self._default(asked.name))
        elif not outcome.is_unloaded:
            logger.error(
                "model %s could not be loaded; the cause is above",
                escaped(asked.name),
            )
        if not asked.is_synchronous:
            return
        if outcome.cause:
            self._refuse(request, _failure(asked.name, outcome))
        elif asked.workers == 0:
            self._answer(request, _OK, f'Model "{asked.name}" registered')
        else:
            self._answer(request, _OK, _SCALED)

    def _default(self, name: str) -> str:
        model = self._repository.find(name)
        predictor = model.report.predictor if model else ""
        return f"; requests go to {predictor}" if predictor else ""

    def _settings_of(self, asked: LoadRequest) -> Settings:
        """How a model is served.

        Raises:
            StartError: it has no program.
        """
        settings = self._settings
        if Path(asked.path, "code", "requirements.txt").exists():
            logger.warning(
                "model %s: its requirements.txt is not installed: all models share the packages of "
                "one interpreter",
                escaped(asked.name),
            )
        handler = asked.handler or settings.handler_service
        served = None if handler else location.find(asked.path)
        # Each model's first worker would have the first GPU, and the others none.
        gpus = settings.gpus
        shift = self._loads % len(gpus) if gpus else 0
        self._loads += 1
        config = settings.config
        if asked.workers is not None:
            config = replace(config, workers_name=load_request.WORKERS)
        if asked.timeout is not None:
            name = load_request.TIMEOUT
            config = replace(config, timeout=asked.timeout, timeout_name=name)
        if asked.batch_size > 1:
            config = replace(
                config,
                max_batch_size=asked.batch_size,
                max_batch_delay=asked.batch_delay / 1000,
                max_batch_size_name=load_request.BATCH_SIZE,
            )
        return replace(
            settings,
            model_name=asked.name,
            model_dir=asked.path,
            program=served,
            handler_service=handler,
            gpus=gpus[shift:] + gpus[:shift],
            path=f"/models/{quote(asked.name, safe='')}/invoke",
            workers=settings.workers if asked.workers is None else asked.workers,
            config=config,
        )

    # Everything else.

    def _list(self, request: Request, _name: str, fields: Mapping[str, str]) -> None:
        models = self._repository.models
        limit = _digits(fields.get("limit", ""))
        start = _digits(fields.get("next_page_token", ""))
        end = start + (limit if 0 < limit <= _PAGE else _PAGE)
        document: dict[str, Any] = {}
        if end < len(models):
            document["nextPageToken"] = str(end)
        document["models"] = [
            {"modelName": model.name, "modelUrl": model.url} for model in models[start:end]
        ]
        self._send(request, _OK, document)

    def _describe(self, request: Request, name: str, _fields: Mapping[str, str]) -> None:
        model = self._find(name)
        settings, deployment = model.settings, model.deployment
        delay = settings.config.max_batch_delay
        document = {
            "modelName": name,
            **({"modelVersion": model.version} if model.version else {}),
            "modelUrl": model.url,
            "runtime": "python",
            "minWorkers": model.min_workers,
            "maxWorkers": model.max_workers,
            "batchSize": settings.config.max_batch_size or 1,
            "maxBatchDelay": 100 if delay is None else round(delay * 1000),
            "loadedAtStartup": False,
            "workers": [
                _worker(handle, has_gpu=bool(settings.gpus))
                for handle in (deployment.workers.handles if deployment else ())
            ],
        }
        self._send(request, _OK, document)

    def _scale(self, request: Request, name: str, fields: Mapping[str, str]) -> None:
        least = _number_of_workers(fields, "min_worker", 1)
        most = _number_of_workers(fields, "max_worker", least)
        if most < least:
            raise ManagementError(BAD_REQUEST, "max_worker cannot be less than min_worker.")
        model = self._find(name)
        if model.deployment is not None and least > model.deployment.most_workers:
            message = (
                f"min_worker is {least}, and the model has connections for "
                f"{model.deployment.most_workers}. Unload it, and load it with "
                f"initial_workers={least}."
            )
            raise ManagementError(BAD_REQUEST, message)
        is_synchronous = load_request.flag(fields, "synchronous", default=False)

        def on_done(outcome: Outcome) -> None:
            self.refresh()
            if not is_synchronous:
                return
            if outcome.cause:
                self._refuse(request, _failure(name, outcome))
            else:
                self._answer(request, _OK, _SCALED)

        if not self._repository.scale(model, least, most, on_done):
            message = f"Model {name} is being loaded or scaled. Try again when that is over."
            raise ManagementError(CONFLICT, message)
        self.refresh()
        if not is_synchronous:
            self._answer(request, _ACCEPTED, _PROCESSING)

    def _unload(self, request: Request, name: str, _fields: Mapping[str, str]) -> None:
        def on_done(_outcome: Outcome) -> None:
            logger.info("model %s is unloaded", escaped(name))
            self._answer(request, _OK, f'Model "{name}" unregistered')

        self._repository.unload(self._find(name), on_done)
        self.refresh()

    # Answers.

    def _answer(self, request: Request, status: int, text: str) -> None:
        self._send(request, status, {"status": text})

    def _refuse(self, request: Request, error: ManagementError, *, allow: str = "") -> None:
        self._send(request, error.status, error.document, allow=allow)

    def _send(
        self, request: Request, status: int, document: Mapping[str, Any], *, allow: str = ""
    ) -> None:
        body = json.dumps(document, indent=2, ensure_ascii=False).encode(errors="replace") + b"\n"
        headers = [("content-type", "application/json"), *([("allow", allow)] if allow else [])]
        self._front_end.reply(request.id, status, body, headers)


def _routes(name: str) -> tuple[str, ...]:
    return f"/models/{name}/invoke", f"/predictions/{name}"


def _not_loaded(name: str, cause: str) -> str:
    return one_line(f"Model {name} could not be loaded: {cause}")


def _failure(name: str, outcome: Outcome) -> ManagementError:
    status = OUT_OF_MEMORY if outcome.out_of_memory else FAILED
    if outcome.is_unloaded:
        return ManagementError(status, f"Model {name} was deleted while it was loading")
    return ManagementError(status, _not_loaded(name, outcome.cause))


def _digits(text: str) -> int:
    """A number, 0 where it is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - 32 bits


def _number_of_workers(fields: Mapping[str, str], name: str, default: int) -> int:
    text = fields.get(name, "")
    if text and not (text.isdecimal() and int(text[:4]) <= MOST_WORKERS and len(text) <= 4):  # noqa: PLR2004
        message = f"{name} has to be a number from 0 to {MOST_WORKERS}, and is {text!r:.40}."
        raise ManagementError(BAD_REQUEST, message)
    return int(text) if text else default


def _worker(handle: WorkerHandle, *, has_gpu: bool) -> dict[str, Any]:
    age = timedelta(seconds=monotonic() - handle.started)
    started = datetime.now(timezone.utc) - age
    return {
        "id": str(handle.index),
        "startTime": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "status": "READY" if handle.is_loaded else "LOADING",
        "gpu": has_gpu,
        "memoryUsage": resident_bytes(handle.child.pid),
    }
