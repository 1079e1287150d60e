"""What a Ray that a test starts is told, its folder, and the processes that have files in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.streams import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    # On a machine that is busy, Ray would give its proxy up after 5 s, again and again.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "120",
}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a Ray, removed when the processes of that Ray are gone."""
    # Not in pytest's folder: paths of sockets have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        yield folder
    finally:
        # They end a little later than who has started them, and write until then.
        wait_until(lambda: not processes(folder), 120)
        shutil.rmtree(folder)


def processes(folder: Path) -> list[int]:
    """The other processes that have an open file below a folder, as all of Ray's have a log."""
    numbers = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    return [pid for pid in numbers if pid != os.getpid() and _has_open(pid, folder)]


def _has_open(pid: int, folder: Path) -> bool:
    # It may end meanwhile, or be somebody else's.
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if each.readlink().is_relative_to(folder):
                    return True
    return False
