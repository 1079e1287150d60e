"""The server's metrics: what the front end, the supervisor and all workers have counted.

Nothing here waits for a worker: their numbers are in shared memory. The front end is asked for its
numbers, and where it does not answer at once, those that it gave last are used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._http import pings
from sagemaker_inference._supervisor import program_metrics
from sagemaker_inference._supervisor.steady_counts import SteadyCounts
from sagemaker_inference._supervisor.worker_handle import REASONS, STATES
from sagemaker_inference.metrics import _server
from sagemaker_inference.metrics._exposition import CONTENT_TYPE, Family, exposed_names, text
from sagemaker_inference.metrics._server import PREFIX, of_requests, server_family, with_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request
    from sagemaker_inference._supervisor.model_repository import Model, ModelRepository
    from sagemaker_inference._supervisor.worker_records import Records

PATH: Final = "/metrics"
# How long a scrape waits for the front end's numbers.
_PATIENCE_SECONDS: Final = 0.05
_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
_OK: Final = 200


class Metrics:
    """Collects all numbers, and answers ``GET /metrics``.

    Args:
        loop: calls back when the front end has not answered.
        repository: the models.
        front_end: what counts requests, and what requests for metrics come from.
        records: what is counted of workers.
        state: the health of the server.
        has_many: whether there are many models, which a label tells apart.
    """

    def __init__(  # noqa: PLR0913 - all that has numbers
        self,
        loop: EventLoop,
        repository: ModelRepository,
        front_end: FrontEndProcess,
        records: Records,
        state: Callable[[], pings.State],
        *,
        has_many: bool,
    ) -> None:
        self._loop = loop
        self._repository = repository
        self._front_end = front_end
        self._records = records
        self._state = state
        self._has_many = has_many
        self._counts, self._programs_counts = SteadyCounts(), SteadyCounts()

    def handle(self, request: Request) -> None:
        """Answer a request for metrics."""
        if not self._front_end.takes_read(request, PATH):
            return

        def answer() -> None:
            families = self.families()
            programs = {name: record.program for name, record in self._records.models.items()}
            taken = {
                name for family in families for name in exposed_names(family.name, family.kind)
            }
            more = program_metrics.text(
                programs, taken, self._programs_counts, has_many=self._has_many
            )
            body = text(families).encode() + more
            self._front_end.reply(request.id, _OK, body, [("content-type", CONTENT_TYPE)])

        self.collect(answer)

    def collect(self, then: Callable[[], None]) -> None:
        """Get the front end's numbers, then call back, once."""
        waiting = [then]

        def go_on() -> None:
            while waiting:
                waiting.pop()()

        self._front_end.count(go_on)
        self._loop.after(_PATIENCE_SECONDS, go_on)

    def families(self) -> list[Family]:
        """All metrics, with the front end's numbers as it gave them last."""
        models = self._repository.models
        found = [*self._of_requests(models), *self._of_models(models), *self._of_server()]
        self._counts.settle_all(found)
        return found

    def _label(self, model: str) -> dict[str, str]:
        return _server.label(model, has_many=self._has_many)

    def _of_requests(self, models: list[Model]) -> Iterator[Family]:
        yield from of_requests(self._front_end.counts, has_many=self._has_many)
        in_front: dict[str, int] = {}
        invoking = {*_INVOKING, *(path for model in models for path in model.report.paths)}
        # A server with many models has no WebSockets.
        sockets = [item["path"] for model in models for item in model.report.sockets]
        invoking.update(sockets)
        are_open = server_family("gauge", "sockets_open", "WebSockets that are open.")
        for counts in self._front_end.counts:
            name = counts["model"] if self._has_many else ""
            if counts["path"] in invoking:
                in_front[name] = in_front.get(name, 0) + counts["running"]
        running, waiting = _server.running(), _server.waiting()
        for model in models:
            busy = model.deployment.busy if model.deployment is not None else 0
            running.add(self._label(model.name), [busy, 0.0])
            there = in_front.get(model.name if self._has_many else "", 0)
            waiting.add(self._label(model.name), [max(0, there - busy), 0.0])
        yield from (running, waiting)
        if sockets and not self._has_many:
            counted = {counts["path"]: counts["running"] for counts in self._front_end.counts}
            are_open.add({}, [sum(counted.get(path, 0) for path in sockets), 0.0])
            yield are_open

    def _of_models(self, models: list[Model]) -> Iterator[Family]:
        there = {model.name: model for model in models}
        load = _server.load_seconds()
        workers = server_family("gauge", "workers", "Workers by what they are doing.")
        restarts = server_family(
            "counter", "worker_restarts", "Workers that were replaced, by reason."
        )
        resident = server_family("gauge", "resident_bytes", "Resident memory of each process.")
        merged = _Merged()
        for name, record in self._records.models.items():
            label = self._label(name)
            if record.load_seconds is not None and name in there:
                load.add(label, [record.load_seconds, 0.0])
            # A rate needs the number before the first one.
            for reason in dict.fromkeys((*(() if self._has_many else REASONS), *record.restarts)):
                restarts.add({"reason": reason, **label}, [record.restarts[reason]])
            deployment = there[name].deployment if name in there else None
            handles = deployment.workers.processes if deployment else []
            states = [handle.state for handle in handles if not handle.is_zygote]
            for state in STATES if name in there else ():
                workers.add({"state": state, **label}, [states.count(state), 0.0])
            sizes: dict[str, int] = {}
            for handle in handles:
                # One that is ending may have a successor of the same name.
                size = resident_bytes(handle.child.pid)
                sizes[handle.name] = sizes.get(handle.name, 0) + size
            for process, size in sizes.items():
                resident.add({"process": process, **label}, [size, 0.0])
            areas = [handle.area for handle in handles if handle.area is not None]
            for family in record.families(areas):
                merged.add(self._labelled(family, label))
        resident.add({"process": "supervisor"}, [resident_bytes(os.getpid()), 0.0])
        if self._front_end.pid is not None:
            resident.add({"process": "front_end"}, [resident_bytes(self._front_end.pid), 0.0])
        yield from (load, workers, restarts, resident)
        yield from merged.families

    @staticmethod
    def _labelled(family: Family, label: dict[str, str]) -> Family:
        # Histograms of the server are for all models together: with 64 models, theirs alone would
        # be half a megabyte.
        if not label or (family.name.startswith(PREFIX) and family.kind == "histogram"):
            return family
        labelled = _like(family)
        for labels, values in family.series.items():
            bounds = family.bounds.get(labels, family.buckets)
            labelled.add(with_model(labels, label), values, bounds)
        return labelled

    def _of_server(self) -> Iterator[Family]:
        yield from _server.of_endpoint(pings.STATES, self._state(), self._front_end.version)


class _Merged:
    """The metrics of all models, each name once."""

    def __init__(self) -> None:
        self._by_name: dict[str, Family] = {}
        self._taken: set[str] = set()

    @property
    def families(self) -> Iterable[Family]:
        """All of them."""
        return self._by_name.values()

    def add(self, family: Family) -> None:
        """Add what one model has counted, unless another one has its name for something else."""
        kept = self._by_name.get(family.name)
        if kept is None:
            names = exposed_names(family.name, family.kind)
            if not self._taken.isdisjoint(names):
                program_metrics.warn_of_two(family.name)
                return
            self._taken |= names
            kept = self._by_name[family.name] = _like(family)
        if kept.kind == family.kind:
            kept.merge(family)
        else:
            program_metrics.warn_of_two(family.name)


# The paths of requests that workers answer, beside those that a program adds.
_INVOKING: Final = ("/invocations", "/models/*/invoke", "/predictions/*")


def _like(family: Family) -> Family:
    return Family(family.name, family.kind, family.help, family.buckets, family.over_workers)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process: the second field of /proc/PID/statm, by proc(5)."""
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * _PAGE_SIZE
    except (OSError, IndexError):
        return 0
