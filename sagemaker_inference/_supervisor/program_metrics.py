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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

logger = get_logger()

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_GAUGE: Final = "gauge"
# The process id of those that are gone.
_GONE: Final = 0


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
        return [] if self._folder is None else sorted(map(str, self._folder.glob("*.db")))

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
                _warn(f"the metrics in {file} are lost: {error!r}")
            with contextlib.suppress(OSError):
                os.unlink(file)  # noqa: PTH108


def text(models: Mapping[str, ProgramMetrics], others: Iterable[str], *, has_many: bool) -> bytes:
    """What workers have written, in Prometheus' text format; nothing where that cannot be read.

    Args:
        models: the metrics of each model.
        others: names of metrics that the page has already.
        has_many: whether a label tells the models apart.
    """
    files = {model: metrics.files for model, metrics in models.items()}
    if not any(files.values()):
        return b""
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        merged = list(_merged(files, set(others), has_many=has_many))
        registry.register(_Collected(merged))
        made: bytes = generate_latest(registry)
    except Exception as error:  # noqa: BLE001 - as above
        _warn(f"the metrics of prometheus_client cannot be read: {error!r}")
        return b""
    return made


@functools.cache
def _warn(message: str) -> None:
    """Log it once, and not at each scrape."""
    logger.warning(message)


class _Collected:
    """A collector of prometheus_client."""

    def __init__(self, metrics: list[Any]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Any]:
        return self._metrics


def _merged(files: Mapping[str, list[str]], others: set[str], *, has_many: bool) -> Iterator[Any]:
    from prometheus_client import multiprocess

    collector: Any = multiprocess.MultiProcessCollector
    by_name: dict[str, Any] = {}
    for model, paths in files.items():
        for metric in collector.merge(paths):
            if has_many:
                metric.samples = [
                    sample._replace(labels={**sample.labels, "model": model})
                    for sample in metric.samples
                ]
            kept = by_name.setdefault(metric.name, metric)
            if kept is not metric and kept.type == metric.type:
                kept.samples += metric.samples
    yield from (metric for name, metric in by_name.items() if name not in others)


def _add_up(source: str, target: str) -> None:
    from prometheus_client import mmap_dict

    # It has no types.
    files: Any = mmap_dict.MmapedDict
    found = list(files.read_all_values_from_file(source))
    total = files(target)
    for key, value, *_ in found:
        total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()
