"""Which processes cannot be forked; each case in a process of its own, with threads of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._worker import forkable

if TYPE_CHECKING:
    from pathlib import Path

# A thread that only the kernel knows, as those of OpenMP.
NATIVE = """
    import ctypes
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    def start(name):
        libc.prctl(15, name)
        assert libc.pthread_create(ctypes.byref(thread), None, libc.pause, None) == 0
        libc.prctl(15, b"main")
    def cancel():
        libc.pthread_cancel(thread)
        libc.pthread_join(thread, None)
"""


def obstacle(source: str, seconds: float = 5.0) -> str:
    """What a process says of itself that has run ``source``."""
    code = (
        f"{textwrap.dedent(source)}\n"
        "from sagemaker_inference._worker import forkable\n"
        f"print(forkable.obstacle({seconds}))"
    )
    result = subprocess.run(
        [sys.executable, "-Werror", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == ""
    return result.stdout.strip()


@pytest.mark.parametrize(
    "source",
    [
        "",
        # One that has ended is no obstacle, though the kernel shows it for a moment longer.
        "import threading\nt = threading.Thread(target=len, args=('',)); t.start(); t.join()",
        "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p: p.submit(len, '')",
        # What jemalloc calls its own.
        f"{textwrap.dedent(NATIVE)}start(b'jemalloc_bg_thd')",
        # What OpenBLAS does: threads end before a fork.
        f"{textwrap.dedent(NATIVE)}start(b'blas')\nimport os\nos.register_at_fork(before=cancel)",
    ],
)
def test_a_process_that_a_fork_copies_whole_can_be_forked(source: str) -> None:
    assert obstacle(source) == ""


def test_threads_of_python_and_of_libraries_are_named() -> None:
    source = f"""{NATIVE}
    import threading, time
    threading.Thread(target=time.sleep, args=(60,), daemon=True, name="refresher").start()
    start(b"omp")
    start(b"omp")
    """
    assert obstacle(source) == (
        "threads run once the model is loaded: 'refresher', 2 native named 'omp'"
    )


def test_a_copy_that_hangs_is_an_obstacle() -> None:
    source = f"""{NATIVE}
    import os, time
    start(b"pool")
    os.register_at_fork(before=cancel, after_in_child=lambda: time.sleep(60))
    """
    assert obstacle(source, 0.2) == "a copy of the process hangs as soon as it is forked"


def test_a_thread_that_ends_while_it_is_looked_at_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").touch()
    monkeypatch.setattr(forkable, "_TASKS", tmp_path)
    assert forkable._others() == ["1 native named '?'"]
