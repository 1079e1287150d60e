"""Memory that is given back to the system."""

import subprocess
import sys

from support.cost import MIB

from sagemaker_inference._os import memory

# In a process of its own: one that has free memory already takes that first.
FRAGMENTED = """
import ctypes, sys
from pathlib import Path
from sagemaker_inference._os import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = resident()
blocks = [libc.malloc(100_000) for _ in range(1000)]
for block in blocks[:-1]:  # the last one is above the others and stays in use
    ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
    libc.free(ctypes.c_void_p(block))
kept = resident() - before
memory.give_back()
print(kept, resident() - before)
"""


def test_free_memory_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FRAGMENTED], check=True, timeout=60, capture_output=True, text=True
    )
    kept, left = map(int, done.stdout.split())
    assert kept > 50 * MIB
    assert left < 20 * MIB


def test_nothing_is_imported_for_it():
    check = (
        "import sys; from sagemaker_inference._os import memory; memory.give_back(); "
        "sys.exit('pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_a_c_library_without_malloc_trim_does_without(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()
