"""Memory that is given back to the system."""

import ctypes
import subprocess
import sys

from support.cost import MIB, cost_of

from sagemaker_inference._os import memory


def fragmented():
    """Free memory that the C library keeps: a block above it is in use."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    blocks = [libc.malloc(100_000) for _ in range(1000)]
    for block in blocks[:-1]:
        ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
        libc.free(ctypes.c_void_p(block))


def given_back():
    fragmented()
    memory.give_back()


def test_free_memory_goes_back_to_the_system():
    assert cost_of(fragmented).kept > 50 * MIB
    assert cost_of(given_back).kept < 20 * MIB


def test_nothing_is_imported_for_it():
    check = (
        "import sys; from sagemaker_inference._os import memory; memory.give_back(); "
        "sys.exit('pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_a_c_library_without_malloc_trim_does_without(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()
