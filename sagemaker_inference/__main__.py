"""The command line: ``sagemaker-inference serve``."""

from __future__ import annotations

import argparse
import sys

from sagemaker_inference import model_server


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
    model_server.start_model_server()
    return 0


if __name__ == "__main__":
    sys.exit(main())
