"""The model of the mode ``encoder``: a Transformer encoder that classifies sequences of tokens.

On a GPU, it has the size of BERT base and computes in half precision. With BENCHMARK_DEVICE=cpu, a
much smaller one shows that the programs work where there is no GPU.

``python encoder.py`` measures the model alone: of the JSON array of tokens on standard input, it
writes the prediction, and by size of batch how many rows the model manages in a second.
"""

import json
import os
import sys
import time
from typing import NamedTuple

import numpy as np

# Where the harness found torch. Behind what is installed here: versions that are pinned count.
sys.path += filter(None, os.environ.get("BENCHMARK_TORCH", "").split(os.pathsep))
import torch

CLASSES = 4
LARGEST = 64
_SIZES = (1, 8, 32, LARGEST)
_CALLS_BEFORE = 10
_SECONDS = float(os.environ.get("BENCHMARK_ALONE_SECONDS", "1.5"))


class Shape(NamedTuple):
    layers: int
    width: int
    heads: int
    inner: int
    precision: torch.dtype


DEVICE = os.environ.get("BENCHMARK_DEVICE", "cuda")
SHAPE = (
    Shape(2, 64, 4, 128, torch.float32)
    if DEVICE == "cpu"
    else Shape(12, 768, 12, 3072, torch.float16)
)
VOCABULARY = 30_522
LENGTH = 128


class Encoder(torch.nn.Module):
    """The mean over a sequence, classified."""

    def __init__(self, shape):
        super().__init__()
        self.tokens = torch.nn.Embedding(VOCABULARY, shape.width)
        self.positions = torch.nn.Embedding(LENGTH, shape.width)
        layer = torch.nn.TransformerEncoderLayer(
            shape.width, shape.heads, shape.inner, batch_first=True
        )
        self.layers = torch.nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.classes = torch.nn.Linear(shape.width, CLASSES)

    def forward(self, tokens):
        hidden = self.layers(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])
        return self.classes(hidden.mean(dim=1)).float().softmax(dim=-1)


def load():
    """The same weights in every process; all sizes of batches have been seen."""
    torch.manual_seed(16)
    model = Encoder(SHAPE).to(DEVICE, SHAPE.precision).eval()
    # A size that the device has not seen takes it ten times as long.
    for rows in range(1, LARGEST + 1):
        predict(model, np.zeros((rows, LENGTH), dtype=np.int64))
    return model


@torch.inference_mode()
def predict(model, tokens):
    """Probabilities of the classes, a row for each row of tokens."""
    return model(torch.from_numpy(tokens).to(DEVICE)).cpu().numpy()


def rows_per_second(model, tokens):
    """How many rows it manages in batches of this size."""
    for _ in range(_CALLS_BEFORE):
        predict(model, tokens)
    calls, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < _SECONDS:
        predict(model, tokens)
        calls += 1
    return calls * len(tokens) / seconds


def main():
    tokens = np.array(json.load(sys.stdin), dtype=np.int64)
    model = load()
    rates = {size: rows_per_second(model, np.repeat(tokens, size, axis=0)) for size in _SIZES}
    print(json.dumps({"prediction": predict(model, tokens).tolist(), "rates": rates}))


if __name__ == "__main__":
    main()
