"""What every contender computes.

BENCHMARK_MODE says what a server is to be:

- ``plain``: answers ``data * 2`` in the format it was asked in; of bytes, the first 1,024;
- ``slow``: the same on JSON, at 10 ms a call;
- ``batched``: ``slow`` with the contender's own batching, up to 32 requests a call;
- ``fixed``: the same at 5 ms a call, up to 64 requests a call;
- ``single``: ``fixed`` without batching;
- ``by-row``: the same at 0.1 ms a request;
- ``holding``: the same at 5 ms a call, in which Python does not sleep but computes;
- ``encoder``: classifies tokens on a GPU, up to 64 rows a call, see encoder.py;
- ``many``: 8 models, ``m0`` to ``m7``, each of which is as ``plain``;
- ``stream``: whatever it gets, a stream of 200 items of 20 bytes, 32 at a time, as they come;
- ``idle``: streams that yield an item and no more, if asked for ``{"idle": true}`` (ours only);
- ``large``: ``plain`` with a model of 500 MB, 4 requests at a time (ours only).
"""

import mmap
import os
import struct
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

MODE = os.environ.get("BENCHMARK_MODE", "plain")
# Whether the model answers at once, in any format.
IS_QUICK = MODE in {"plain", "many"}
PORT = int(os.environ.get("BENCHMARK_PORT", "0"))
HOST = "127.0.0.1"
# By mode, most requests of a call.
BATCHES = {"batched": 32, "fixed": 64, "by-row": 64, "holding": 64, "encoder": 64}
MAX_BATCH = BATCHES.get(MODE, 32)
COST_SECONDS = {"fixed": 0.005, "single": 0.005, "holding": 0.005}.get(MODE, 0.010)
ROW_SECONDS = 0.0001
HEAD_BYTES = 1024

ITEMS = [f"item {number:015}" for number in range(200)]
STREAMS = 32
MODELS = [f"m{number}" for number in range(8)]
IDLE = 1100

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
BYTES = "application/octet-stream"

# A model has one device: where a framework calls it from several threads, calls queue up.
_device = threading.Lock()
# A file that the benchmark reads: how often the model was called, and with how many requests.
_COUNTS = Path(tempfile.gettempdir(), "counts")
_PAIR = struct.Struct("=qq")


def _shared_counts():
    with _COUNTS.open("a+b") as file:
        file.truncate(_PAIR.size)
        return mmap.mmap(file.fileno(), _PAIR.size)


_counts = _shared_counts() if MODE in BATCHES else None


def predict(data):
    """The model of the modes ``plain`` and ``many``."""
    return data * 2 if isinstance(data, np.ndarray) else data[:HEAD_BYTES]


def predict_slowly(data):
    """A call that costs as much however many rows it gets, as on a device of its own."""
    with _device:
        time.sleep(COST_SECONDS)
    return data * 2


def count(batch):
    """Note a call of the model for so many requests."""
    calls, requests = _PAIR.unpack_from(_counts)
    _PAIR.pack_into(_counts, 0, calls + 1, requests + batch)


def predict_together(batch):
    """A call for a list of arrays: what each mode of `BATCHES` but ``encoder`` does."""
    count(len(batch))
    if MODE == "holding":
        _compute()
        return [data * 2 for data in batch]
    if MODE == "by-row":
        time.sleep(ROW_SECONDS * len(batch))
        return [data * 2 for data in batch]
    return list(predict_slowly(np.stack(batch)))


def _compute():
    until = time.perf_counter() + COST_SECONDS
    while time.perf_counter() < until:
        pass
