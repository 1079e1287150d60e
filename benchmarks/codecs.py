"""The codecs against the AWS toolkit's, in one process: ``python benchmarks/codecs.py REFERENCE``.

REFERENCE is a folder that holds ``sagemaker-inference==1.10.1``, made by ``pip install --no-deps
--target REFERENCE sagemaker-inference==1.10.1``; it wants numpy, scipy and six beside it. Prints
medians, taken in turns of a few calls each so that what slows the machine slows both.

Each side goes from the body's bytes to an array, or from an array to bytes. AWS's codecs of text
take and give ``str``; its Transformer decodes the body before, and its front end's Python part
encodes the answer after.
"""

# ruff: noqa: A005  # the name says what is measured; nothing imports it

from __future__ import annotations

import importlib
import io
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 25


def imported(folder: str, *modules: str) -> list[Any]:
    """Modules of the package as it is in a folder, forgotten by Python afterwards."""
    for name in [name for name in sys.modules if name.split(".")[0] == "sagemaker_inference"]:
        del sys.modules[name]
    sys.path.insert(0, folder)
    try:
        return [importlib.import_module(f"sagemaker_inference.{name}") for name in modules]
    finally:
        sys.path.remove(folder)


def calls_for(function: Callable[[], object]) -> int:
    """How many calls take about three milliseconds."""
    start = time.perf_counter()
    function()
    return max(1, min(1000, int(0.003 / (time.perf_counter() - start))))


def medians(*functions: Callable[[], object]) -> list[float]:
    """Microseconds of each, in turns; the first call of a turn is not counted."""
    counts = [calls_for(function) for function in functions]
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, count, seconds in zip(functions, counts, times, strict=True):
            function()
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(count):
                    function()
                seconds.append((time.perf_counter() - start) / count)
    return [statistics.median(seconds) * 1e6 for seconds in times]


def main() -> None:
    """Measure and print."""
    here = str(Path(__file__).parents[1])
    sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]
    theirs_in, theirs_out = imported(sys.argv[1], "decoder", "encoder")
    json_, csv, npy = imported(here, "codecs.json", "codecs.csv", "codecs.npy")

    def read(body: bytes, content_type: str) -> object:
        is_text = content_type in ("application/json", "text/csv")
        return theirs_in.decode(body.decode("utf-8") if is_text else body, content_type)

    def write(array: object, content_type: str) -> bytes:
        encoded = theirs_out.encode(array, content_type)
        return encoded if isinstance(encoded, bytes) else encoded.encode("utf-8")

    large = np.random.default_rng(0).standard_normal((1000, 4))
    small = np.array([[1.0, 2.0, 3.0, 4.0]])
    body = json.dumps(large.tolist()).encode()
    rows = "\n".join(",".join(map(repr, row)) for row in large.tolist()).encode()
    buffer = io.BytesIO()
    np.save(buffer, large)
    saved = buffer.getvalue()
    short = json.dumps(small.tolist()).encode()

    cases: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        (
            "JSON decode",
            "14",
            lambda: read(body, "application/json"),
            lambda: json_.decode(body),
        ),
        (
            "JSON encode",
            "20",
            lambda: write(large, "application/json"),
            lambda: json_.encode(large),
        ),
        (
            "CSV decode",
            "20",
            lambda: read(rows, "text/csv"),
            lambda: csv.decode(rows),
        ),
        (
            "CSV encode",
            "15",
            lambda: write(large, "text/csv"),
            lambda: csv.encode(large),
        ),
        (
            "NPY decode",
            "5",
            lambda: read(saved, "application/x-npy"),
            lambda: npy.decode(saved),
        ),
        (
            "NPY encode",
            "1",
            lambda: write(large, "application/x-npy"),
            lambda: npy.encode(large),
        ),
        (
            "JSON 1x4, both ways",
            "4",
            lambda: write(read(short, "application/json"), "application/json"),
            lambda: json_.encode(json_.decode(short)),
        ),
    ]
    print("| 1,000x4 float64 | AWS toolkit | here | times faster | at least |")
    print("| --- | --- | --- | --- | --- |")
    for name, target, theirs, ours in cases:
        before, after = medians(theirs, ours)
        print(f"| {name} | {before:,.1f} µs | {after:,.1f} µs | {before / after:.1f} | {target} |")


if __name__ == "__main__":
    main()
