"""A program from the load of its model to its end, apart from requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sagemaker_inference._http.context import Context
from sagemaker_inference._inference.runner import Runner
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sagemaker_inference._inference.batching import Batcher
    from sagemaker_inference._inference.sessions import Sessions
    from sagemaker_inference._os.spool import Spool
    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.signatures import Handler

_T = TypeVar("_T")

logger = get_logger()


class Lifecycle:
    """The model, and the handlers that are called when it is loaded, checked and let go.

    Attributes:
        health_check: the program's health check, with its interval.
        model_loader, before_load, warmup, on_shutdown: the handlers by role.
        model: the return value of the model loader.
        model_dir, gpu_id, model_name: the arguments of `load`.
        sessions: what is kept from one request of a client to the next; None without sessions.
        on_warmup: called when the model is loaded and the warmup begins.
        load_context: the context of the load; its attributes are there at each request.
    """

    def __init__(  # noqa: PLR0913 - the parts of a program
        self,
        *,
        model_loader: Handler,
        before_load: Handler | None,
        warmup: Handler | None,
        health_check: Registration | None,
        on_shutdown: Handler | None,
        batcher: Batcher | None,
        folders: Spool | None,
        sessions: Sessions | None = None,
    ) -> None:
        self.sessions = sessions
        self.model_loader = model_loader
        self.before_load = before_load
        self.warmup = warmup
        self.health_check = health_check
        self.on_shutdown = on_shutdown
        self.model: Any = None
        self.model_dir = ""
        self.gpu_id: int | None = None
        self.model_name = "model"
        self.on_warmup: Callable[[], object] = lambda: None
        self.load_context = Context()
        self._batcher = batcher
        self._folders = folders
        self._runner = Runner()

    def load(
        self,
        model_dir: str,
        gpu_id: int | None = None,
        model_name: str = "model",
        context: Context | None = None,
    ) -> None:
        """Run before_load, model_loader and warmup; their exceptions pass through.

        Those that are async run in the event loop of `run`, so none may run in this thread.

        Args:
            model_dir: the folder of the model.
            gpu_id: the GPU of this worker, or None.
            model_name: the name of the model in the context.
            context: the context to load with; a new one by default.
        """
        self.model_dir, self.gpu_id, self.model_name = model_dir, gpu_id, model_name
        context = context or Context(model_dir, gpu_id, None, model_name)
        self.load_context = context
        if self.before_load:
            self._call(self.before_load, model_dir, context)
        self.model = self._call(self.model_loader, model_dir, context)
        if self.sessions is not None:
            self.sessions.begin(self.model, context)
        if self._folders is not None:
            self._folders.sweep()
        self._before_requests()
        if self.warmup:
            self.on_warmup()
            example = self._call(self.warmup, model_dir, self.model, context)
            if example is not None:
                self._warm_up_with(example)

    def is_healthy(self) -> bool:
        """Whether the program's health check is content; what it raises passes through."""
        if self.health_check is None:
            return True
        result = self.health_check.handler.call(self.model, self.load_context)
        return result is None or bool(result)

    @property
    def has_idle_work(self) -> bool:
        """Whether `use_idle_time` has something to do."""
        return self._batcher is not None and self._batcher.has_idle_work

    def use_idle_time(self) -> None:
        """Do a piece of work that can wait until no request does."""
        if self._batcher is not None:
            self._batcher.use_idle_time(self.model, self.load_context)

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None:
        """Have a function called with the ids of requests that are about to be tried once more.

        A batch on which the predictor raised is tried in parts, each a call of its own.
        """
        if self._batcher is not None:
            self._batcher.on_retry = on_retry

    def close(self) -> None:
        """End all sessions and run on_shutdown; exceptions are logged."""
        try:
            if self.sessions is not None:
                self._runner.run(self.sessions.end_all())
            if self.on_shutdown is not None:
                self._call(self.on_shutdown, self.model, self.load_context)
        except BaseException:
            logger.exception("on_shutdown failed: %s", self.on_shutdown)
        finally:
            self._runner.close()
            if self._folders is not None:
                self._folders.close()

    @property
    def has_event_loop(self) -> bool:
        """Whether something async has run: what it opened belongs to that loop."""
        return self._runner.is_open

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine, such as that of `answer`, in the loop that async handlers share."""
        return self._runner.run(coroutine)

    def _call(self, handler: Handler, *arguments: Any) -> Any:
        result = handler.call(*arguments)
        return self._runner.run(result) if handler.is_async else result

    def _before_requests(self) -> None:
        """Do what the first request would otherwise wait for."""

    def _warm_up_with(self, example: Any) -> None:
        """Predict what the warmup has returned, in batches of all sizes."""
        if self._batcher is not None:
            self._batcher.try_all_sizes(example, self.model, self.load_context)


def import_common_codecs() -> None:
    """Import the codecs before the first request, which would otherwise wait for that."""
    from sagemaker_inference.codecs import csv, json

    json.encode(json.decode(b"[[1.5]]"))
    csv.encode(csv.decode(b"1.5,2.5\n"))
