"""Whether a port can be served, asked before anything is started."""

from __future__ import annotations

import errno
import socket
from typing import Final

from sagemaker_inference._errors import StartError
from sagemaker_inference._parsers import HIGHEST_PORT

# However the server was started: by the command, in a container, by a program.
_PORT: Final = "--port, SAGEMAKER_BIND_TO_PORT or serve(__name__, port=...)"
_HOST: Final = "--host, SAGEMAKER_BIND_TO_HOST or serve(__name__, host=...)"


def check_port(host: str, port: int) -> None:
    """Refuse a port that the front end could not open.

    Raises:
        StartError: the port or the host cannot be served.
    """
    if not 0 < port <= HIGHEST_PORT:
        message = (
            f"port {port} cannot be served: the front end takes 1 to {HIGHEST_PORT}. "
            f"Choose another with {_PORT}."
        )
        raise StartError(message)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            advice = (
                f"Pass an IPv4 address or a name of this machine by {_HOST}."
                if is_host
                else f"Stop what uses it, or choose another with {_PORT}."
            )
            message = f"port {port} on {host} cannot be served: {error.strerror}. {advice}"
            raise StartError(message) from None
