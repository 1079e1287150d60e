"""What containers run: without click, which they start faster without."""

from __future__ import annotations


def serve() -> int:
    """Serve the program of the model's folder; returns when the server has stopped."""
    from sagemaker_inference import model_server

    model_server.start_model_server()
    return 0


def prepare() -> int:
    """Make Java's class data, and print where it is."""
    from sagemaker_inference._errors import StartError
    from sagemaker_inference._log import last_word
    from sagemaker_inference._os import linux

    try:
        linux.require("prepare", "write RUN sagemaker-inference prepare into the Dockerfile")
        from sagemaker_inference._frontends.mms import launcher

        print(launcher.prepare())  # noqa: T201 - the output of the command
    except StartError as error:
        last_word(error)
        return 1
    return 0
