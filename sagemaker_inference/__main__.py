"""The command line: ``sagemaker-inference serve``."""

from __future__ import annotations

import argparse
import sys

from sagemaker_inference import overwritten


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
    if overwritten.is_overwritten():
        print(  # noqa: T201 - its last word
            f"sagemaker-inference: error: {overwritten.MESSAGE}", file=sys.stderr
        )
        return 1
    from sagemaker_inference import model_server

    model_server.start_model_server()
    return 0


if __name__ == "__main__":
    sys.exit(main())
