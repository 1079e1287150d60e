"""Train the model that inference.py serves, on the irises of the example next to this one.

Usage: python examples/pytorch/train.py [MODEL_DIR], by default the folder "model" beside this file.
"""
# ruff: noqa: T201 - the output of the script

import csv
import sys
from pathlib import Path

import torch
from network import SPECIES, network

HERE = Path(__file__).parent
STEPS = 200


def main(model_dir):
    """Train on four irises of five, test on the fifth, write weights.pt."""
    with (HERE.parent / "iris" / "iris.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    lengths = torch.tensor([[float(cell) for cell in row[:4]] for row in rows])
    species = torch.tensor([SPECIES.index(row[4]) for row in rows])
    held_out = torch.arange(len(rows)) % 5 == 0
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(STEPS):
        optimizer.zero_grad()
        scores = model(lengths[~held_out])
        torch.nn.functional.cross_entropy(scores, species[~held_out]).backward()
        optimizer.step()
    with torch.inference_mode():
        guesses = model.eval()(lengths[held_out]).argmax(dim=1)
    print(f"held-out accuracy: {(guesses == species[held_out]).float().mean():.3f}")
    model_dir.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), model_dir / "weights.pt")
    print(f"wrote {model_dir / 'weights.pt'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model")
