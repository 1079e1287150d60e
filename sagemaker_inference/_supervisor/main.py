"""The program of the supervisor: here its settings meet the front end that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.base import ClientLimits
from sagemaker_inference._frontends.mms.launcher import MultiModelServer
from sagemaker_inference._log import configure_logger, last_word
from sagemaker_inference._os import standard_streams
from sagemaker_inference._supervisor.settings import Settings
from sagemaker_inference._supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from sagemaker_inference._frontends.base import FrontEnd

_FAILED: Final = 1
# A request that was handed to a deployment may wait there for those before it: a worker has up to
# seven on its connections besides those that it is working on, or one more batch
# (Concurrency.connections).
_ROUNDS: Final = 8
# The front end must not lose patience before the supervisor has.
_MARGIN_SECONDS: Final = 30


def run(settings: Settings, *, reap_strangers: bool) -> int:
    """Serve until the server stops; returns its exit code.

    Raises:
        StartError: it could not start; nothing is left running.
    """
    return Supervisor(settings, front_end(settings), reap_strangers=reap_strangers).run()


def front_end(settings: Settings) -> FrontEnd:
    """The front end for these settings.

    Raises:
        StartError: it cannot run on this machine.
    """
    # Loading is one of the things that it waits for.
    config = settings.config
    limit = max(config.timeout * (_ROUNDS + 1), config.startup_timeout)
    return MultiModelServer.find(
        host=settings.host,
        port=config.port,
        workers=settings.workers,
        payload_limit=config.payload_limit,
        response_limit=config.response_limit,
        answer_timeout=int(limit) + _MARGIN_SECONDS,
        clients=ClientLimits(
            header_timeout=config.client_header_timeout,
            idle_timeout=config.client_idle_timeout,
            body_timeout=config.client_body_timeout,
            write_timeout=config.client_write_timeout,
            stream_heartbeat=config.stream_heartbeat,
            websocket_idle_timeout=config.websocket_idle_timeout,
            websocket_ping_interval=config.websocket_ping_interval,
            max_connections=config.max_connections,
            max_queue_size=config.max_queue_size,
        ),
        vmargs=config.vmargs,
        more={
            "cors_allowed_origin": config.cors_origin,
            "cors_allowed_methods": config.cors_methods,
            "cors_allowed_headers": config.cors_headers,
        },
    )


def main(argv: list[str]) -> int:
    """Run a supervisor whose settings are the first argument; returns its exit code."""
    standard_streams.ensure_open()
    configure_logger()
    try:
        return run(Settings.read(argv[1]), reap_strangers=True)
    except StartError as error:
        last_word(error)
        return _FAILED
