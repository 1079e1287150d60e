"""Metrics that programs make with the package prometheus_client, beside those made with ours.

prometheus_client has each process write its numbers to files of a folder, by process id, if a
variable names one before it is imported: https://prometheus.github.io/client_python/multiprocess/
What a worker has counted stays when it is gone, in one file for all of those; its gauges, which
were its own, do not. Nothing of the package is imported here before a worker has written a file.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._log import get_logger
from sagemaker_inference.metrics._exposition import exposed_names
from sagemaker_inference.metrics._instruments import bounded_label
from sagemaker_inference.metrics._server import label, with_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from sagemaker_inference._supervisor.steady_counts import SteadyCounts

logger = get_logger()

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_GAUGE: Final = "gauge"
# The process id of those that are gone.
_GONE: Final = 0
# Of an error, which may have all of the page in it, and another one at each scrape.
_SHOWN: Final = 100


class ProgramMetrics:
    """The numbers of one model's workers.

    Args:
        folder: where they write them; "" for nowhere. It is made when a worker starts.
    """

    def __init__(self, folder: str = "") -> None:
        # Who sets the variable reads the files, too.
        self._folder = Path(folder) if folder and _VARIABLE not in os.environ else None

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a worker that is started now."""
        if self._folder is None:
            return {}
        self._folder.mkdir(parents=True, exist_ok=True)
        return {_VARIABLE: str(self._folder)}

    @property
    def files(self) -> list[str]:
        """What workers have written."""
        if self._folder is None:
            return []
        # One that a worker is about to fill is empty.
        return sorted(str(path) for path in self._folder.glob("*.db") if _size(path))

    def bury(self, pid: int) -> None:
        """Keep the numbers of a worker that is gone."""
        self._keep([path for path in self.files if path.endswith(f"_{pid}.db")])

    def add(self, other: ProgramMetrics) -> None:
        """Keep the numbers of another model, whose workers are gone."""
        self._keep(other.files)

    def _keep(self, files: Iterable[str]) -> None:
        for file in files:
            kind = os.path.basename(file).split("_")[0]  # noqa: PTH119 - a Path has no more to say
            try:
                if kind != _GAUGE:
                    _add_up(file, str(Path(self.environment[_VARIABLE], f"{kind}_{_GONE}.db")))
            except Exception as error:  # noqa: BLE001 - a program may write anything there
                _warn(f"the metrics in {file} are lost: {error!r:.{_SHOWN}}")
            with contextlib.suppress(OSError):
                os.unlink(file)  # noqa: PTH108


def text(
    models: Mapping[str, ProgramMetrics],
    taken: AbstractSet[str],
    counts: SteadyCounts,
    *,
    has_many: bool,
) -> bytes:
    """What workers have written, in Prometheus' text format; nothing where that cannot be read.

    Args:
        models: the metrics of each model.
        taken: names that the page has already.
        counts: what was given of them last.
        has_many: whether a label tells the models apart.
    """
    files = {model: metrics.files for model, metrics in models.items()}
    if not any(files.values()):
        return b""
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        merged = list(_merged(files, taken, has_many=has_many))
        _settle(merged, counts)
        registry.register(_Collected(merged))
        made: bytes = generate_latest(registry)
    except Exception as error:  # noqa: BLE001 - as above
        _warn(f"the metrics of prometheus_client cannot be read: {error!r:.{_SHOWN}}")
        return b""
    return made


@functools.cache
def _warn(message: str) -> None:
    """Log it once, and not at each scrape."""
    logger.warning(message)


def warn_of_two(name: str) -> None:
    """Say that a metric is not shown."""
    _warn(f"there are two metrics that are exposed as {name}: one of them is not shown")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # its worker is gone
        return 0


class _Collected:
    """A collector of prometheus_client."""

    def __init__(self, metrics: list[Any]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Any]:
        return self._metrics


def _settle(merged: Iterable[Any], counts: SteadyCounts) -> None:
    counts.begin()
    for metric in merged:
        if metric.type != _GAUGE:
            metric.samples = [
                sample._replace(
                    value=counts.settle((sample.name, *sample.labels.items()), sample.value)
                )
                for sample in metric.samples
            ]


def _merged(
    files: Mapping[str, list[str]], taken: AbstractSet[str], *, has_many: bool
) -> Iterator[Any]:
    from prometheus_client import multiprocess

    collector: Any = multiprocess.MultiProcessCollector
    by_name: dict[str, Any] = {}
    for model, paths in files.items():
        own = label(model, has_many=has_many)
        for metric in collector.merge(paths):
            metric.samples = list(_exposed(metric.samples, own).values())
            kept = by_name.setdefault(metric.name, metric)
            if kept.type != metric.type:
                warn_of_two(metric.name)
            elif kept is not metric:
                kept.samples += metric.samples
    for name, metric in by_name.items():
        if taken.isdisjoint(exposed_names(name, metric.type)):
            yield metric
        else:
            warn_of_two(name)


def _exposed(samples: Iterable[Any], model: Mapping[str, str]) -> dict[tuple[Any, ...], Any]:
    """Numbers with the labels that they are exposed with, which may have been several."""
    found: dict[tuple[Any, ...], Any] = {}
    for sample in samples:
        bounded = [(name, bounded_label(value)) for name, value in sample.labels.items()]
        labels = with_model(bounded, model)
        key = sample.name, *labels.items()
        value = sample.value + (found[key].value if key in found else 0.0)
        found[key] = sample._replace(labels=labels, value=value)
    return found


def _add_up(source: str, target: str) -> None:
    from prometheus_client import mmap_dict

    # It has no types.
    files: Any = mmap_dict.MmapedDict
    found = list(files.read_all_values_from_file(source))
    total = files(target)
    for key, value, *_ in found:
        total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()
