"""What to say where another package's files lie over this one's.

AWS's PyTorch toolkit brings old copies of a dozen of them, an empty ``__init__`` among them. Then
``from sagemaker_inference import predictor`` finds no such name, and Python looks for a module: the
modules `model_loader`, `predictor` and `serve` are there for this alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

MESSAGE: Final = (
    "another package (sagemaker-pytorch-inference?) has put its own files into "
    f"{Path(__file__).parents[1]}. Install this one last: "
    "pip install --force-reinstall --no-deps sagemaker-inference"
)


def is_overwritten() -> bool:
    """Whether that is so."""
    return not hasattr(sys.modules["sagemaker_inference"], "default_registry")
