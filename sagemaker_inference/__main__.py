"""The command line: ``sagemaker-inference serve``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="sagemaker-inference", description="Serve machine-learning models on SageMaker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "serve",
        help="serve the program that SAGEMAKER_PROGRAM names, from /opt/ml/model/code",
    )
    parser.parse_args(argv)
    package = sys.modules["sagemaker_inference"]
    if not hasattr(package, "default_registry"):
        # The PyTorch toolkit's wheel brings old copies of a dozen of our files.
        print(  # noqa: T201 - its last word
            f"sagemaker-inference: error: another package (sagemaker-pytorch-inference?) has put "
            f"its own files into {Path(__file__).parent}. Install this one "
            "last: pip install --force-reinstall --no-deps sagemaker-inference",
            file=sys.stderr,
        )
        return 1
    from sagemaker_inference import model_server

    model_server.start_model_server()
    return 0


if __name__ == "__main__":
    sys.exit(main())
