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

# The first 80 dicts that are freed are kept, here one of each MiB or so.
FREE_LISTS = """
from pathlib import Path
from sagemaker_inference._os import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

memory.give_back()
before = resident()
dicts = [{} for _ in range(1_000_000)]
for index in range(0, len(dicts), 12_500):
    dicts[index] = None
del dicts
kept = resident() - before
memory.give_back()
print(kept, resident() - before)
"""


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True
    )
    return done.stdout.split()


def test_free_memory_goes_back_to_the_system():
    kept, left = map(int, run(FRAGMENTED))
    assert kept > 50 * MIB
    assert left < 20 * MIB


def test_objects_that_python_keeps_hold_no_memory():
    kept, left = map(int, run(FREE_LISTS))
    assert kept > 50 * MIB
    assert left < 20 * MIB


CYCLE = """
import gc
from sagemaker_inference._os import memory

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        print("finalized")

gc.disable()
FREEZE
frozen = gc.get_freeze_count()
Cycle()
memory.give_back()
print("kept" if gc.get_freeze_count() == frozen else "thawed")
"""


def test_objects_of_the_program_are_not_looked_at():
    # Before the process ends, which looks at them itself.
    assert run(CYCLE.replace("FREEZE", ""))[0] in {"kept", "thawed"}


def test_what_is_frozen_stays_so():
    assert run(CYCLE.replace("FREEZE", "gc.freeze()")) == ["finalized", "kept"]


def test_nothing_is_imported_for_it():
    check = (
        "import sys; from sagemaker_inference._os import memory; memory.give_back(); "
        "sys.exit('pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_a_c_library_without_malloc_trim_does_without(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()
