"""A script for AWS's PyTorch image, which has made a tensor of the body."""

from pathlib import Path

import torch


def model_fn(model_dir):
    return torch.jit.load(Path(model_dir, "model.pt"))


def predict_fn(data, model):
    with torch.no_grad():
        return model(data).relu()
