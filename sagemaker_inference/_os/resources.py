"""The resources of this machine: processors, GPUs, and kills by the out-of-memory killer."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What most systems grant: room for connections above what programs open.
_USUAL_DESCRIPTORS: Final = 4096
# Where GPUs have no device file each: Windows' subsystem for Linux, and Jetson.
_UNCOUNTED: Final = (Path("/dev/dxg"), Path("/dev/nvmap"))
# What CUDA takes besides numbers, each also as a prefix.
_IDENTIFIERS: Final = ("GPU-", "MIG-")
_CGROUP: Final = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """Processors that this process may use by its affinity and its cgroup's quota; at least 1."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # on Linux
        count = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(count, int(quota))) if quota else count


def _cgroup_quota() -> float | None:
    """The quota in processors: cgroup v2 ``cpu.max``, v1 ``cpu.cfs_*``; None without one."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((_CGROUP / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def memory() -> int:
    """Bytes of memory that this process may use: its cgroup's limit, or else the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_cgroup_memory()])


def _cgroup_memory() -> list[int]:
    """The limits of cgroup v2 ``memory.max``, v1 ``memory.limit_in_bytes``, where there are any."""
    limits = []
    for path in (_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes"):
        # "max" is none; v1 has a number beyond the machine's memory for that.
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text()))
    return limits


def threads(processes: int) -> str:
    """OMP_NUM_THREADS for each process: that of the environment, else its share of processors."""
    return os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cpus() // processes))


def gpus() -> list[str]:
    """The names of the usable GPUs, as CUDA_VISIBLE_DEVICES lists them."""
    devices = [entry.name for entry in Path("/dev").glob("nvidia*")]
    numbers = sorted((name[6:] for name in devices if re.fullmatch(r"nvidia\d+", name)), key=int)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return numbers
    names: list[str] = []
    for entry in visible.split(","):
        name = entry.strip()
        # CUDA ignores everything from the first entry on that names nothing, usually -1, and
        # counts the devices that this container has from 0.
        is_there = (
            int(name) < len(numbers) or any(path.exists() for path in _UNCOUNTED)
            if re.fullmatch(r"\d+", name)
            else name.startswith(_IDENTIFIERS)
        )
        if not is_there or name in names:
            break
        names.append(name)
    return names


def summary(gpus: Sequence[str]) -> str:
    """What this process may use, in words: "2 processors, 4096 MB of memory, no GPU".

    Args:
        gpus: as `gpus` has found them.
    """
    cpus = usable_cpus()
    seen = f"GPU {', '.join(gpus)}" if gpus else "no GPU"
    return f"{cpus} processor{'' if cpus == 1 else 's'}, {memory() >> 20} MB of memory, {seen}"


def raise_descriptor_limit(least: int) -> None:
    """Have this process, and those that it starts, open as many files as a server needs.

    Raises:
        StartError: the system does not grant that many.
    """
    import resource  # Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _USUAL_DESCRIPTORS:
        return
    if hard != resource.RLIM_INFINITY and hard < least:
        message = (
            f"the server needs {least} file descriptors and may have {hard} at most. Raise the "
            f"limit, e.g. to {_USUAL_DESCRIPTORS}: ulimit -n, or a container's --ulimit nofile=..."
        )
        raise StartError(message)
    most = _USUAL_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_USUAL_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def out_of_memory_kills() -> int:
    """How many processes of this container, or else machine, the kernel has killed for memory."""
    for path, key in (
        (_CGROUP / "memory.events", "oom_kill"),
        (_CGROUP / "memory" / "memory.oom_control", "oom_kill"),
        (Path("/proc/vmstat"), "oom_kill"),
    ):
        try:
            text = path.read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    return 0
