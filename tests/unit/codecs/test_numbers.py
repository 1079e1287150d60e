from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sagemaker_inference.codecs import _numbers

PEAK = """
import resource
import numpy as np
from sagemaker_inference.codecs import {module}

array = {array}
body = {module}.encode(array)
shape, size = array.shape, array.nbytes
del array
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
found = {module}.decode(body)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert found.shape == shape
print(len(body), size, before, after)
"""


def test_simdjson_may_be_missing():
    assert _numbers._imported("no_such_module") is None
    program = (
        "import sys\nsys.modules['simdjson'] = None\n"
        "from sagemaker_inference.codecs import json\n"
        f"assert json.decode(b'[[1.5, 2],' + b'[3, 4],' * {_numbers._SMALL} + b'[5, 6]]').size\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shapes_are_read_off_brackets():
    shape = _numbers._shape
    assert shape(b"[,,]") == (3,)
    assert shape(b"[[,],[,],[,]]") == (3, 2)
    assert shape(b"[[[,],[,]],[[,],[,]]]") == (2, 2, 2)
    for brackets in (b"", b",", b"[[,],[]]", b"[,[]]", b"[[],[,]]", b"[" * 40 + b"]" * 40, b"[["):
        assert shape(brackets) is None


def test_long_integers_are_seen_wherever_they_are(monkeypatch):
    for size in (19, 25, 40):
        for place in range(0, 50, 7):
            text = b"1," * place + b"7" * size + b",1" * 9
            assert _numbers.has_long_integer(text)
            with monkeypatch.context() as patch:
                patch.setattr(_numbers, "_SMALL", 0)
                patch.setattr(_numbers, "_PIECE", 16)
                assert _numbers.has_long_integer(text)
                assert not _numbers.has_long_integer(text.replace(b"7" * 19, b"7" * 18 + b"."))


@pytest.mark.parametrize(
    ("module", "array"),
    [
        ("json", "np.random.default_rng(0).standard_normal((320_000, 4))"),
        ("csv", "np.random.default_rng(0).standard_normal((320_000, 4))"),
        ("json", "np.arange(6_000_000) % 10"),
        ("json", "np.random.default_rng(0).standard_normal((1, 400, 800, 4))"),
    ],
)
def test_a_body_of_25_megabytes_takes_less_than_three_times_its_size(module, array):
    program = PEAK.format(module=module, array=array)
    environ = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, env=environ
    )
    body, size, before, after = map(int, done.stdout.split())
    assert body > 11_000_000
    assert after - before < 2 * body + size, (after - before) / body
