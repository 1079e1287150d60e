"""Train the model of this example: rents by area and district.

Usage: python examples/container_xgboost/train.py MODEL_DIR
"""
# ruff: noqa: T201 - the output of the script

import sys
from pathlib import Path

import numpy as np
import xgboost

# Square metres, and 1 for the centre.
ROWS = np.array([[50, 0], [50, 1], [80, 0], [80, 1]], dtype=np.float32)
RENTS = np.array([500.0, 800.0, 750.0, 1400.0])
# One tree that repeats what it has seen, on every machine.
OPTIONS = {"base_score": 0, "eta": 1, "lambda": 0, "min_child_weight": 0, "nthread": 1}


def main(model_dir):
    """Write model.ubj."""
    model_dir.mkdir(parents=True, exist_ok=True)
    booster = xgboost.train(OPTIONS, xgboost.DMatrix(ROWS, RENTS), num_boost_round=1)
    booster.save_model(model_dir / "model.ubj")
    print(f"wrote {model_dir / 'model.ubj'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
