"""Train the model that inference.py serves, on the irises of the example next to this one.

Usage: python examples/lightgbm/train.py [MODEL_DIR], by default the folder "model" beside this
file.
"""
# ruff: noqa: T201 - the output of the script

import csv
import sys
from pathlib import Path

import lightgbm
import numpy as np

HERE = Path(__file__).parent
SPECIES = ["setosa", "versicolor", "virginica"]
OPTIONS = {"objective": "multiclass", "num_class": len(SPECIES), "num_threads": 1, "verbose": -1}


def main(model_dir):
    """Train on four irises of five, test on the fifth, write model.txt."""
    with (HERE.parent / "iris" / "iris.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    lengths = np.array([row[:4] for row in rows], dtype=float)
    species = np.array([SPECIES.index(row[4]) for row in rows])
    held_out = np.arange(len(rows)) % 5 == 0
    training = lightgbm.Dataset(lengths[~held_out], species[~held_out])
    booster = lightgbm.train(OPTIONS, training, num_boost_round=20)
    guesses = booster.predict(lengths[held_out]).argmax(axis=1)
    print(f"held-out accuracy: {(guesses == species[held_out]).mean():.3f}")
    model_dir.mkdir(parents=True, exist_ok=True)
    booster.save_model(model_dir / "model.txt")
    print(f"wrote {model_dir / 'model.txt'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model")
