"""The process of an ASGI application that `sagemaker-inference dev` serves without Linux.

Its standard input is what it is told: a line to begin, and the end to stop.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Final

import uvicorn

from sagemaker_inference import asgi
from sagemaker_inference._log import configure_logger
from sagemaker_inference._worker import development

_HOST: Final = "127.0.0.1"
_PATIENCE_SECONDS: Final = 20
_LARGEST_MESSAGE: Final = 1 << 30


def main(argv: list[str]) -> int:
    """Serve a program; returns the exit code.

    Args:
        argv: after its own name the program's file, the folder of the model, and the port.
    """
    _, program, model_dir, port = argv
    configure_logger()
    # uvicorn's line of a program that does not start.
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    development.show_tracebacks()
    development.warm_up()
    if not sys.stdin.readline():
        return 0
    config = uvicorn.Config(
        asgi.app(program, model_dir=model_dir),
        host=_HOST,
        port=int(port),
        lifespan="on",
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    server = uvicorn.Server(config)

    def end_with_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_input, name="input", daemon=True).start()
    server.run()
    return 0 if server.started else 1
