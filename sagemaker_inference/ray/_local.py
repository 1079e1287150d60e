"""A program on Ray Serve on this machine, until somebody stops it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import StartError
from sagemaker_inference._os.interruptible import wait_until
from sagemaker_inference.ray._deployment import deployment, run
from sagemaker_inference.ray._library import needed

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = "default"


def serve_here(  # noqa: PLR0913 - the options
    program: str,
    *,
    model_dir: str | None,
    replicas: int,
    host: str,
    port: int,
    on_ready: Callable[[], object],
) -> None:
    """Start Ray and serve a program until SIGTERM or SIGINT; what is in progress is answered.

    Where Ray runs already, as ``RAY_ADDRESS`` says, it is used.

    Args:
        program: the program's file.
        model_dir: the folder of the model, or None.
        replicas: how many processes.
        host: the address on which Ray's proxies listen.
        port: their port.
        on_ready: called when the program answers.

    Raises:
        StartError: Ray Serve is not installed or cannot start, as where something else listens on
            the port; or the program cannot be loaded.
    """
    ray, serve = needed("ray"), needed("ray.serve")
    application = deployment(program, model_dir=model_dir, num_replicas=replicas)
    is_over = threading.Event()
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
        # After Ray's own, which end this process at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: is_over.set())
        try:
            serve.start(http_options={"host": host, "port": port})
        except Exception as error:  # noqa: BLE001 - those of Ray have nothing in common
            # What was raised in a process of Ray comes with its traceback, and ends with the cause.
            cause = (str(error).strip() or repr(error)).splitlines()[-1]
            message = f"Ray Serve cannot start on {host}:{port}: {cause}"
            raise StartError(message) from None
        run(application, name=_NAME)
        on_ready()
        wait_until(is_over.wait)
        # Replicas answer what they have, and proxies pass it on. A shutdown would end the latter.
        serve.delete(_NAME)
        serve.shutdown()
    finally:
        ray.shutdown()
