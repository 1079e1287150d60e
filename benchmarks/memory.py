"""Peak memory of decoding 25 MB: ``python benchmarks/memory.py``, on Linux.

Each body is decoded in a process of its own. The limit is three times the body and once the
result, with the body counted as it lies there. A result of Python objects counts with what
CPython's allocator gives them, which is what `sys.getsizeof` says in steps of 16 bytes.
"""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3


def floats(*shape: int) -> Any:
    """Random numbers."""
    return np.random.default_rng(0).standard_normal(shape)


def digits(*shape: int) -> Any:
    """Random digits."""
    return np.random.default_rng(0).integers(0, 10, shape)


def with_nulls(body: bytes) -> bytes:
    """Every thousandth number of a JSON text as null."""
    parts = body.split(b",")
    for index in range(500, len(parts), 1000):
        if not parts[index].endswith(b"]") and not parts[index].startswith(b"["):
            parts[index] = b"null"
    return b",".join(parts)


def drawn(form: str, side: int) -> bytes:
    """An image of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=100)
    return buffer.getvalue()


# What is measured: the codec, and a function that makes the body, given that codec.
CASES: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "JSON floats": ("json", lambda codec: codec.encode(floats(325_000, 4))),
    "JSON digits": ("json", lambda codec: codec.encode(digits(6_000_000, 2))),
    "JSON image": ("json", lambda codec: codec.encode(floats(1, 600, 700, 3))),
    "JSON nulls": ("json", lambda codec: with_nulls(codec.encode(floats(325_000, 4)))),
    "JSON texts": ("json", lambda codec: codec.encode([f"{n:016}" for n in range(1_300_000)])),
    "JSON Lines": ("jsonlines", lambda codec: codec.encode(floats(325_000, 4))),
    "CSV floats": ("csv", lambda codec: codec.encode(floats(325_000, 4))),
    "CSV digits": ("csv", lambda codec: codec.encode(digits(1_250_000, 10))),
    "CSV empty cells": ("csv", lambda codec: codec.encode(floats(325_000, 4)) + b",,,\n"),
    "CSV words": (
        "csv",
        lambda _codec: b"".join(b"w%07d,%.9f\n" % (n, n / 7) for n in range(1_100_000)),
    ),
    "CSV quotes": (
        "csv",
        lambda _codec: b"".join(b'"a, %07d",%.9f\n' % (n, n / 7) for n in range(900_000)),
    ),
    "NPY": ("npy", lambda codec: codec.encode(floats(780_000, 4))),
    "NPZ": ("npz", lambda codec: codec.encode(floats(780_000, 4))),
    "RecordIO floats": ("recordio", lambda codec: codec.encode(floats(150_000, 16))),
    "RecordIO integers": ("recordio", lambda codec: codec.encode(digits(450_000, 16))),
    "LIBSVM": ("libsvm", lambda codec: codec.encode(floats(140_000, 8))),
    "Arrow": ("arrow", lambda codec: bytes(codec.encode(floats(780_000, 4)))),
    "Parquet": ("parquet", lambda codec: bytes(codec.encode(floats(780_000, 4)))),
    "PNG": ("image", lambda _codec: drawn("PNG", 2900)),
    "JPEG": ("image", lambda _codec: drawn("JPEG", 3500)),
    "text": ("text", lambda _codec: b"a" * 25_000_000),
}


def status(field: str) -> int:
    """Bytes that /proc/self/status gives for a field."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))


def size(value: Any) -> int:
    """How much memory a result takes."""
    if isinstance(value, list):
        return sys.getsizeof(value) + sum(-(-size(item) // 16) * 16 for item in value)
    if hasattr(value, "indptr"):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return value.nbytes + sum(-(-size(item) // 16) * 16 for item in value.ravel().tolist())
    return int(value.nbytes) if hasattr(value, "nbytes") else sys.getsizeof(value)


def measure(name: str) -> str:
    """Decode the body of one case, and say what it took."""
    module, make = CASES[name]
    codec = importlib.import_module(f"sagemaker_inference.codecs.{module}")
    body = make(codec)
    # What is imported at the first call is no part of this one.
    codec.decode(bytes(make_small(module, codec)))
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    start = time.perf_counter()
    result = codec.decode(body)
    seconds = time.perf_counter() - start
    taken = status("VmHWM") - before + len(body)
    allowed = LIMIT * len(body) + size(result)
    return (
        f"| {name} | {len(body) / 1e6:.1f} | {size(result) / 1e6:.1f} | {taken / 1e6:.1f} | "
        f"{taken / allowed:.2f} | {seconds * 1e3:,.0f} |"
    )


def make_small(module: str, codec: Any) -> Any:
    """A short body of the same format."""
    if module == "image":
        return drawn("PNG", 2)
    return b"a" if module == "text" else codec.encode(np.eye(2))


def main() -> None:
    """Measure each case in a new process, and print."""
    if len(sys.argv) > 1:
        print(measure(sys.argv[1]))
        return
    print("| 25 MB | body, MB | result, MB | peak with the body, MB | of the limit | ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in CASES:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    main()
