"""The command line: ``sagemaker-inference serve`` and ``prepare``."""

from __future__ import annotations

import argparse
import sys

from sagemaker_inference._aws import shadowed


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="sagemaker-inference", description="Serve machine-learning models on SageMaker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "serve",
        help="serve the program that SAGEMAKER_PROGRAM names, from /opt/ml/model/code",
    )
    commands.add_parser(
        "prepare",
        help="make servers start faster, for 30 MB of disk; run it when building an image",
    )
    command = parser.parse_args(argv).command
    if shadowed.is_overwritten():
        print(  # noqa: T201 - the logging module may be another package's as well
            f"sagemaker-inference: error: {shadowed.MESSAGE}", file=sys.stderr
        )
        return 1
    if command == "prepare":
        return _prepare()
    from sagemaker_inference import model_server

    model_server.start_model_server()
    return 0


def _prepare() -> int:
    from sagemaker_inference._errors import StartError
    from sagemaker_inference._frontends.mms import launcher
    from sagemaker_inference._log import last_word

    try:
        print(launcher.prepare())  # noqa: T201 - the output of the command
    except StartError as error:
        last_word(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
