"""Train the model that inference.py serves, on scikit-learn's 8 by 8 digits.

Usage: python examples/sklearn/train.py [MODEL_DIR], by default the folder "model" beside this file.

The model file is not in the repository, since a joblib file is a pickle for the release of
scikit-learn that wrote it.
"""
# ruff: noqa: T201 - the output of the script

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(model_dir):
    """Train on four digits of five, test on the fifth, write digits.joblib."""
    images, digits = load_digits(return_X_y=True)
    held_out = [index % 5 == 0 for index in range(len(digits))]
    training = [not is_held_out for is_held_out in held_out]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(images[training], digits[training])
    print(f"held-out accuracy: {model.score(images[held_out], digits[held_out]):.3f}")
    model_dir.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, model_dir / "digits.joblib")
    print(f"wrote {model_dir / 'digits.joblib'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model")
