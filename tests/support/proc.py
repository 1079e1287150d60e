"""What /proc says of a process (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal


def memory(pid: int | Literal["self"], key: Literal["VmRSS", "VmHWM"] = "VmRSS") -> int:
    """Bytes of memory that a process has, or has had at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(key))
    return int(line.split()[1]) << 10


def descriptors(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names are enough


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
