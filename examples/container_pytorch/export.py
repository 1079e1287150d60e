"""Write a model as AWS's PyTorch image loads it without a script: model.pt, of TorchScript.

Usage: python examples/container_pytorch/export.py MODEL_DIR
"""
# ruff: noqa: T201 - the output of the script

import sys
from pathlib import Path

import torch


def main(model_dir):
    """Write model.pt: y = 0.5 a - 2 b + 1."""
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5, -2.0]]))
        model.bias.copy_(torch.tensor([1.0]))
    model_dir.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(model.eval(), torch.zeros(1, 2)).save(model_dir / "model.pt")
    print(f"wrote {model_dir / 'model.pt'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
