"""The models of a server by their names: one that is there from the start, or many over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._log import get_logger
from sagemaker_inference._supervisor.deployment import Deployment, Stage
from sagemaker_inference._supervisor.outcome import FEWER, STOPPING, UNLOADING, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._supervisor.deployment import Surroundings
    from sagemaker_inference._supervisor.settings import Settings

    Done = Callable[[Outcome], None]

logger = get_logger()

# What a worker is at work on when its model is unloaded may go on for so long. Whoever unloads a
# model wants its memory.
GRACE_SECONDS: Final = 5.0


class RepositoryOwner(Protocol):
    """Who wants to know what becomes of models without having asked for it."""

    def on_lost(self, name: str, outcome: Outcome) -> None:
        """A model could not be kept; the log says why."""
        ...

    def on_all_stopped(self) -> None:
        """No model is left after `ModelRepository.stop`."""
        ...


class Model:
    """A model of the repository.

    Args:
        settings: what its workers serve; they have its name.
        routes: the paths, percent-decoded, whose requests it answers.
        url: where it is, as whoever has loaded it says.
        version: its version, or "".

    Attributes:
        deployment: its workers and connections; None where it has none.
        report: what its workers reported last.
        min_workers, max_workers: how many it is to have, as was asked for.
    """

    def __init__(
        self, settings: Settings, routes: Sequence[str], url: str = "", version: str = ""
    ) -> None:
        self.settings = settings
        self.routes = routes
        self.url = url
        self.version = version
        self.deployment: Deployment | None = None
        self.report = Report("")
        self.min_workers = self.max_workers = settings.workers
        self.is_new = True
        self.on_done: Done | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.model_name

    def finish(self, outcome: Outcome) -> None:
        """Tell whoever waits for a load how it has ended."""
        on_done, self.on_done = self.on_done, None
        if on_done is not None:
            on_done(outcome)


class ModelRepository:
    """The models that are there now, and what is left of those that are being unloaded.

    Loads and unloads run side by side, and each has its own callback. A name is free the moment
    that its model is being unloaded: what is left of the old one has nothing in common with the
    next of its name.

    Args:
        surroundings: what all deployments share.
        owner: hears what it has not asked for.
    """

    def __init__(self, surroundings: Surroundings, owner: RepositoryOwner) -> None:
        self._surroundings = surroundings
        self._owner = owner
        self._models: dict[str, Model] = {}
        # Every deployment that still has something, with what to do when it is gone.
        self._deployments: dict[Deployment, list[Callable[[], None]]] = {}
        self._last_number = 0
        self._takes_loads = True
        self._is_stopping = False

    @property
    def models(self) -> list[Model]:
        """Those that there are, by name."""
        return sorted(self._models.values(), key=lambda model: model.name)

    def find(self, name: str) -> Model | None:
        """The model of a name."""
        return self._models.get(name)

    @property
    def takes_loads(self) -> bool:
        """Whether models can still be loaded: not when the server is about to stop."""
        return self._takes_loads

    # Loading and unloading.

    def load(self, model: Model, on_done: Done) -> None:
        """Load a model, whose name is free; the callback gets the outcome when it is known."""
        self._models[model.name] = model
        if model.settings.workers:
            self._deploy(model, on_done)
        else:
            model.is_new = False
            on_done(Outcome())

    def _deploy(self, model: Model, on_done: Done) -> None:
        self._last_number += 1
        model.on_done = on_done
        deployment = Deployment(
            self._last_number, model.settings, model.routes, self._surroundings, self
        )
        model.deployment = deployment
        self._deployments[deployment] = []
        deployment.start()

    def unload(self, model: Model, on_done: Done) -> None:
        """Unload a model; the callback is called when nothing of it is left."""
        del self._models[model.name]
        deployment, model.deployment = model.deployment, None
        if deployment is None:
            on_done(Outcome())
            return

        def finish() -> None:
            model.finish(Outcome("it was unloaded", is_unloaded=True))
            on_done(Outcome())

        self._retire(deployment, UNLOADING, finish)

    def scale(self, model: Model, least: int, most: int, on_done: Done) -> bool:
        """Have a model with at least and at most so many workers.

        Returns:
            False where it is being loaded or scaled just now; then nothing happens.
        """
        deployment = model.deployment
        if model.on_done is not None or (deployment and deployment.workers.is_scaling):
            return False
        before = model.min_workers, model.max_workers
        model.min_workers, model.max_workers = least, most
        now = deployment.workers.target if deployment else 0
        count = max(least, min(now, most))

        def finish(outcome: Outcome) -> None:
            if outcome.cause:
                model.min_workers, model.max_workers = before
            on_done(outcome)

        if deployment is None and count:
            model.settings = replace(model.settings, workers=count)
            self._deploy(model, finish)
        elif deployment is None:
            on_done(Outcome())
        elif count:
            deployment.workers.scale(count, GRACE_SECONDS, finish)
        else:
            model.deployment = None
            self._retire(deployment, FEWER, lambda: on_done(Outcome()))
        return True

    def _retire(self, deployment: Deployment, cause: str, when_gone: Callable[[], None]) -> None:
        self._deployments[deployment].append(when_gone)
        deployment.retire(GRACE_SECONDS, cause)

    # What deployments do (deployment.DeploymentOwner).

    def _model_of(self, deployment: Deployment) -> Model:
        # One that is being unloaded says nothing any more but that it is gone.
        return next(m for m in self._models.values() if m.deployment is deployment)

    def on_deployed(self, deployment: Deployment, report: Report) -> None:
        """A load is over."""
        model = self._model_of(deployment)
        model.is_new = False
        model.report = report
        model.finish(Outcome())

    def on_failed(self, deployment: Deployment, outcome: Outcome) -> None:
        """A load has failed, or a model is lost."""
        model = self._model_of(deployment)
        model.deployment = None
        if model.on_done is None:
            del self._models[model.name]
            self._owner.on_lost(model.name, outcome)
            return
        if model.is_new:
            del self._models[model.name]
        # Whoever is told may load it again: the memory has to be free.
        self._deployments[deployment].append(lambda: model.finish(outcome))

    def on_gone(self, deployment: Deployment) -> None:
        """Nothing of a deployment is left."""
        for call in self._deployments.pop(deployment):
            call()
        self._tell_when_stopped()

    # All of them.

    @property
    def count(self) -> int:
        """How many processes there are now."""
        return sum(deployment.workers.count for deployment in self._deployments)

    def reap(self) -> None:
        """Notice processes that have ended."""
        for deployment in list(self._deployments):
            deployment.workers.reap()

    def check_time_limits(self) -> None:
        """End workers that load or predict for too long."""
        for deployment in list(self._deployments):
            if deployment.stage in (Stage.LOADING, Stage.SERVING):
                deployment.workers.check_time_limits()

    def refuse_loads(self) -> None:
        """Load nothing any more, and give up what is being loaded."""
        self._takes_loads = False
        for model in list(self._models.values()):
            if model.on_done is not None and model.deployment is not None:
                del self._models[model.name]
                model.deployment.retire(0.0, STOPPING)
                model.finish(Outcome(STOPPING))

    def stop(self) -> None:
        """Have all workers finish; the owner hears when they have."""
        self.refuse_loads()
        self._is_stopping = True
        for deployment in list(self._deployments):
            deployment.retire(None, STOPPING)
        self._tell_when_stopped()

    def _tell_when_stopped(self) -> None:
        if self._is_stopping and not self._deployments:
            self._owner.on_all_stopped()

    def kill(self) -> None:
        """Kill all workers; what they were working on is answered from here."""
        for deployment in list(self._deployments):
            deployment.workers.kill()

    def close(self) -> None:
        """Kill and forget everything, at once."""
        for deployment in list(self._deployments):
            deployment.close()
        self._deployments.clear()
        self._models.clear()
