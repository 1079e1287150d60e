"""The error for an installation whose files another package has overwritten.

AWS's PyTorch toolkit contains old copies of a dozen files, including an empty ``__init__``. Then
``from sagemaker_inference import predictor`` makes Python look for a module of that name, so the
modules `model_loader`, `predictor` and `serve` exist to raise this error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

MESSAGE: Final = (
    "another package (sagemaker-pytorch-inference?) has overwritten files in "
    f"{Path(__file__).parents[1]}. Install this one last: "
    "pip install --force-reinstall --no-deps sagemaker-inference"
)


def is_overwritten() -> bool:
    """Whether ``__init__`` is another package's."""
    return not hasattr(sys.modules["sagemaker_inference"], "default_registry")
