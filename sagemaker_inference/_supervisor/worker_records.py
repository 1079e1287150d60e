"""What is counted of workers: by themselves in shared memory, and by the supervisor.

A worker's numbers stay readable when it is killed. Those of workers that are gone are added to a
sum, so that a counter never goes down.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._log import get_logger
from sagemaker_inference._supervisor.program_metrics import ProgramMetrics
from sagemaker_inference.metrics._cells import Reader, make_file
from sagemaker_inference.metrics._exposition import Family, families
from sagemaker_inference.metrics._instruments import MOST_SERIES, OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sagemaker_inference.metrics._cells import Described

logger = get_logger()

_GAUGE: Final = "gauge"
_Labels = tuple[tuple[str, str], ...]


class WorkerArea:
    """Memory that one worker writes its metrics to."""

    def __init__(self) -> None:
        self._fd = make_file()
        self._reader = Reader.from_file(self._fd)

    def take_fd(self) -> int:
        """The descriptor for the worker; whoever takes it closes it."""
        fd, self._fd = self._fd, -1
        return fd

    def read(self) -> list[Described]:
        """What the worker has written; nothing where that is not what it should be."""
        try:
            return self._reader.read()
        except (ValueError, LookupError, TypeError, AttributeError):
            logger.debug("the metrics of a worker cannot be read", exc_info=True)
            return []

    def close(self) -> None:
        """Give the memory back."""
        self._reader.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ModelRecord:
    """What is counted of one model's workers.

    Args:
        folder: where prometheus_client writes in them; "" for nowhere.

    Attributes:
        program: what the program counts with prometheus_client.
        restarts: workers that were replaced, by reason.
        load_seconds: how long the last worker took to load the model; None before.
    """

    def __init__(self, folder: str = "") -> None:
        self.program = ProgramMetrics(folder)
        self.restarts: Counter[str] = Counter()
        self.load_seconds: float | None = None
        self._gone: dict[str, Family] = {}
        # Which sets of label values are told apart, by metric.
        self._told: dict[str, set[_Labels]] = {}

    def bury(self, area: WorkerArea | None, pid: int) -> None:
        """Keep the numbers of a worker that is gone, but for gauges, which were its own."""
        self.program.bury(pid)
        if area is None:
            return
        for family in families([area.read()]):
            if family.kind != _GAUGE:
                self.keep(family)
        area.close()

    def keep(self, family: Family) -> None:
        """Add what nobody counts any more."""
        family = self._bounded(family)
        old = self._gone.get(family.name)
        if old is None:
            self._gone[family.name] = family
        elif old.kind == family.kind:
            old.merge(family)

    def add(self, other: ModelRecord) -> None:
        """Add what was counted of another model."""
        self.restarts += other.restarts
        self.program.add(other.program)
        for family in other._gone.values():
            self.keep(family)

    def families(self, areas: Iterable[WorkerArea]) -> list[Family]:
        """The metrics of those that are gone and of those that are there."""
        living = families(area.read() for area in areas)
        by_name = {family.name: self._bounded(family) for family in living}
        for name, gone in self._gone.items():
            if name not in by_name:
                by_name[name] = Family(gone.name, gone.kind, gone.help, gone.buckets)
            if by_name[name].kind == gone.kind:
                by_name[name].merge(gone)
        return list(by_name.values())

    def _bounded(self, family: Family) -> Family:
        """A metric with no more series than one worker may have.

        Each worker tells that many apart, and its successor others: together they would grow with
        what clients send. A counter never goes down by it: what is told apart once stays so.
        """
        told = self._told.setdefault(family.name, set())
        if family.kind == _GAUGE:  # those of workers that are gone are no more
            told.intersection_update(family.series)
        bounded = replace(family, series={}, bounds={})
        for labels, values in family.series.items():
            if labels not in told and len(told) < MOST_SERIES:
                told.add(labels)
            key = dict(labels) if labels in told else dict.fromkeys(dict(labels), OTHER)
            bounded.add(key, values, family.bounds.get(labels, family.buckets))
        return bounded


class Records:
    """The records of all models.

    Args:
        is_there: whether there is a model of a name now.
        folder: a private directory for what prometheus_client writes in workers; "" for nowhere.
    """

    def __init__(
        self, is_there: Callable[[str], bool] = lambda _name: True, folder: str = ""
    ) -> None:
        self.is_there = is_there
        self._folder = folder
        self._found = 0
        self.models: dict[str, ModelRecord] = {}

    def find(self, name: str) -> ModelRecord:
        """The record of a model.

        Names come from clients: when there are many, the records of models that are gone become
        one, so that they do not grow with what is loaded and unloaded.
        """
        record = self.models.get(name)
        if record is None:
            if len(self.models) >= MOST_SERIES:
                self._forget()
            record = self.models[name] = self._make()
        return record

    def _make(self) -> ModelRecord:
        self._found += 1
        return ModelRecord(str(Path(self._folder, str(self._found))) if self._folder else "")

    def _forget(self) -> None:
        gone = [name for name in self.models if not self.is_there(name)]
        total = self._make()
        for name in gone:
            total.add(self.models.pop(name))
        self.models[OTHER] = total
