"""Train the model that inference.py serves: softmax regression on iris.csv, numpy alone.

Usage: python examples/iris/train.py [MODEL_DIR], by default the folder "model" beside this file.

iris.csv holds the 150 flowers of R. A. Fisher, "The use of multiple measurements in taxonomic
problems", Annals of Eugenics 7 (1936), 179-188, known from the UCI Machine Learning Repository.
The numbers are those of the paper, as in scikit-learn; UCI's copy has two wrong rows. The data are
in the public domain.
"""
# ruff: noqa: T201 - the output of the script

import csv
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SPECIES = ("setosa", "versicolor", "virginica")
STEPS = 2000
STEP_SIZE = 0.5
DECAY = 0.001


def read(path):
    """The four lengths of each flower, and the number of its species."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    lengths = np.array([row[:4] for row in rows], dtype=float)
    return lengths, np.array([SPECIES.index(row[4]) for row in rows])


def softmax(scores):
    """Scores as probabilities, row by row."""
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def fit(lengths, species):
    """Coefficients (4, 3) and intercepts (3,), by gradient descent on the cross-entropy."""
    mean, deviation = lengths.mean(axis=0), lengths.std(axis=0)
    inputs = (lengths - mean) / deviation
    targets = np.eye(len(SPECIES))[species]
    coefficients = np.zeros((inputs.shape[1], len(SPECIES)))
    intercepts = np.zeros(len(SPECIES))
    for _ in range(STEPS):
        residuals = softmax(inputs @ coefficients + intercepts) - targets
        coefficients -= STEP_SIZE * (inputs.T @ residuals / len(inputs) + DECAY * coefficients)
        intercepts -= STEP_SIZE * residuals.mean(axis=0)
    # The weights include the scaling, so that the program can take centimetres. They are rounded,
    # since the last digits of matrix products differ between processors.
    coefficients = coefficients / deviation[:, np.newaxis]
    return coefficients.round(6), (intercepts - mean @ coefficients).round(6)


def main(model_dir):
    """Train on four flowers of five, test on the fifth, write iris.npz."""
    lengths, species = read(HERE / "iris.csv")
    held_out = np.arange(len(lengths)) % 5 == 0
    coefficients, intercepts = fit(lengths[~held_out], species[~held_out])
    for name, part in (("training", ~held_out), ("held-out", held_out)):
        guesses = (lengths[part] @ coefficients + intercepts).argmax(axis=1)
        correct = int((guesses == species[part]).sum())
        print(f"{name} accuracy: {correct}/{part.sum()} = {correct / part.sum():.3f}")
    model_dir.mkdir(parents=True, exist_ok=True)
    np.savez(model_dir / "iris.npz", coefficients=coefficients, intercepts=intercepts)
    print(f"wrote {model_dir / 'iris.npz'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model")
