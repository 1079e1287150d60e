"""Train the model that code/inference.py serves: rents by area and district.

Usage: python examples/container_sklearn/train.py MODEL_DIR
"""
# ruff: noqa: T201 - the output of the script

import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.tree import DecisionTreeRegressor

# Square metres, and 1 for the centre. A tree repeats what it has seen, on every machine.
ROWS = np.array([[50, 0], [50, 1], [80, 0], [80, 1]], dtype=np.float32)
RENTS = np.array([500.0, 800.0, 750.0, 1400.0])


def main(model_dir):
    """Write model.joblib."""
    model_dir.mkdir(parents=True, exist_ok=True)
    joblib.dump(DecisionTreeRegressor(random_state=0).fit(ROWS, RENTS), model_dir / "model.joblib")
    print(f"wrote {model_dir / 'model.joblib'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
