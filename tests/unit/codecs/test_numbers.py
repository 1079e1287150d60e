from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from sagemaker_inference.codecs import _numbers

PEAK = """
import pathlib
import resource
import sys
from sagemaker_inference.codecs import {module}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

{module}.decode(b"1")
body = pathlib.Path(sys.argv[1]).read_bytes()
before = peak()
{module}.decode(body)
print(peak() - before)
"""


def test_simdjson_may_be_missing():
    assert _numbers._imported("no_such_module") is None
    program = (
        "import sys\nsys.modules['simdjson'] = None\n"
        "from sagemaker_inference.codecs import json\n"
        f"assert json.decode(b'[[1.5, 2],' + b'[3, 4],' * {_numbers.SMALL} + b'[5, 6]]').size\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shapes_are_derived_from_brackets():
    shape = _numbers._shape
    assert shape(b"[,,]") == (3,)
    assert shape(b"[[,],[,],[,]]") == (3, 2)
    assert shape(b"[[[,],[,]],[[,],[,]]]") == (2, 2, 2)
    for brackets in (b"", b",", b"[[,],[]]", b"[,[]]", b"[[],[,]]", b"[" * 40 + b"]" * 40, b"[["):
        assert shape(brackets) is None


def nestings(numbers, arrays):
    """Every list of so many numbers in so many lists within it."""
    if not numbers and not arrays:
        yield []
    if numbers:
        yield from ([7, *rest] for rest in nestings(numbers - 1, arrays))
    for inside, count in itertools.product(range(arrays), range(numbers + 1)):
        for first in nestings(count, inside):
            yield from ([first, *rest] for rest in nestings(numbers - count, arrays - 1 - inside))


@pytest.mark.parametrize("comma", [",", ", ", ",  "])
def test_a_matrix_is_distinguished_from_other_lists_with_as_many_brackets(comma):
    shapes = set()
    for numbers, arrays in [(1, 1), (2, 2), (4, 2), (4, 3), (6, 2), (6, 3), (4, 4), (3, 3)]:
        for nesting in nestings(numbers, arrays):
            text = json.dumps(nesting, separators=(comma, ":")).encode()
            shape = _numbers._matrix(text, numbers)
            assert shape in (None, _numbers._shape(_numbers._brackets(text)))
            shapes.add(shape)
    expected = {None, (1, 1), (2, 1), (2, 2), (2, 3), (3, 2), (3, 1), (4, 1)}
    assert shapes == (expected if len(comma) < 3 else {None, (1, 1)})


def test_long_integers_are_noticed_at_any_position(monkeypatch):
    for size in (19, 25, 40):
        for position in range(0, 50, 7):
            text = b"1," * position + b"7" * size + b",1" * 9
            fraction = b"1," * position + b"0." + b"7" * size + b",1" * 9
            for small, piece in ((1024, 16), (0, 16), (0, 1000)):
                with monkeypatch.context() as patch:
                    patch.setattr(_numbers, "SMALL", small)
                    patch.setattr(_numbers, "_PIECE", piece)
                    assert _numbers.has_long_integer(text)
                    assert not _numbers.has_long_integer(text.replace(b"7" * 19, b"7" * 18 + b"."))
                    assert not _numbers.has_long_integer(fraction)


def test_the_parser_that_is_kept_reads_no_long_text(monkeypatch):
    pytest.importorskip("simdjson")

    class Kept:
        longest = 0

        def parse(self, text):
            self.longest = max(self.longest, len(text))
            return parse(text)

    kept, parse = Kept(), _numbers._workspace.parser.parse
    monkeypatch.setattr(_numbers._workspace, "parser", kept)
    # Where no comma comes for long, a piece is as long as the text.
    for size in (2000, 2 * _numbers._PIECE + 1):
        for text in (b"[1," + b" " * size + b"2]", b"[[1, 2],[3, 4]" + b" " * size + b"]"):
            assert _numbers.nested(text).ravel().tolist() in ([1, 2], [1, 2, 3, 4])
    assert 0 < kept.longest <= 2 * _numbers._PIECE


@pytest.mark.once
@pytest.mark.parametrize("module", ["json", "csv", "jsonlines"])
@pytest.mark.parametrize("kind", ["floats", "digits", "image"])
def test_25_megabytes_take_less_than_three_times_their_size(tmp_path, module, kind):
    codec = importlib.import_module(f"sagemaker_inference.codecs.{module}")
    generator = np.random.default_rng(0)
    if kind == "floats":
        array = generator.standard_normal((320_000, 4))
    elif kind == "digits":
        array = generator.integers(0, 10, (3_000_000, 4))
    else:
        array = generator.integers(0, 256, (1, 1000, 2000, 3))
    if module == "csv":
        array = array.reshape(-1, array.shape[-1])
    body = codec.encode(array)
    assert len(body) > 20_000_000
    file = tmp_path / "body"
    file.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(module=module), file], check=True, capture_output=True
    )
    # The body itself is in memory already.
    assert int(done.stdout) < 2 * len(body) + array.nbytes
