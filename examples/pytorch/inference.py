"""Name irises with a network of PyTorch.

In: rows of four lengths in centimetres, as CSV, JSON or NPY. Out: a species for each row.

The hint `torch.Tensor` gets float32, torch's default. Requests that arrive during a prediction are
stacked and padded to one of `batch_sizes`, so that `torch.compile` meets few shapes: each is
compiled before the first request, with the example that `warm_up` returns.
"""

import os
from pathlib import Path

import torch
from network import SPECIES, network

from sagemaker_inference import model_loader, predictor, serve, warmup
from sagemaker_inference.errors import UnprocessableInputError

COLUMNS = 4


@model_loader
def load(model_dir):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = network()
    # Tensors alone: weights of others cannot run code.
    weights = torch.load(Path(model_dir, "weights.pt"), map_location=device, weights_only=True)
    model.load_state_dict(weights)
    model.eval().to(device)
    # It needs a compiler in the image, and pays for networks that are larger than this one.
    return torch.compile(model) if os.environ.get("COMPILE") == "true" else model


@warmup
def warm_up():
    return torch.zeros(1, COLUMNS)


@predictor(max_batch_size=32, collate="concatenate", batch_sizes=(1, 8, 32))
def predict(data: torch.Tensor, model):
    if data.shape[1:] != (COLUMNS,):
        message = f"Send rows of {COLUMNS} numbers: lengths in centimetres."
        raise UnprocessableInputError(message)
    device = next(model.parameters()).device
    with torch.inference_mode():
        best = model(data.to(device, torch.float32)).argmax(dim=1)
    return [SPECIES[index] for index in best.tolist()]


serve(__name__)
