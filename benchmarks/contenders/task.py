"""What every contender computes.

BENCHMARK_MODE says what a server is to be:

- ``plain``: answers ``data * 2`` in the format it was asked in; of bytes, the first 1,024;
- ``slow``: the same on JSON, at 10 ms a call;
- ``batched``: ``slow`` with the contender's own batching, up to 32 requests a call;
- ``large``: ``plain`` with a model of 500 MB, 4 requests at a time (ours only).
"""

import os
import threading
import time

import numpy as np

MODE = os.environ.get("BENCHMARK_MODE", "plain")
PORT = int(os.environ.get("BENCHMARK_PORT", "0"))
HOST = "127.0.0.1"
MAX_BATCH = 32
COST_SECONDS = 0.010
HEAD_BYTES = 1024

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
BYTES = "application/octet-stream"

# A model has one device: where a framework calls it from several threads, calls queue up.
_device = threading.Lock()


def predict(data):
    """The model of the mode ``plain``."""
    return data * 2 if isinstance(data, np.ndarray) else data[:HEAD_BYTES]


def predict_slowly(data):
    """A call that costs 10 ms however many rows it gets, as on a device of its own."""
    with _device:
        time.sleep(COST_SECONDS)
    return data * 2
