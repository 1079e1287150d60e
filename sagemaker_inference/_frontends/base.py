"""What the supervisor asks of a front end, whatever that is made of.

A front end is a process that serves HTTP. It connects to the supervisor's control socket first
thing, and from then on both send JSON objects, one a line; ``docs/design.md`` has the messages. It
opens its port when the supervisor says so, and owns nothing: what it answers itself, whom it asks
and which worker gets a request, it is told over that socket.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Launch(NamedTuple):
    """How a front end's process is started.

    Attributes:
        command: the program and its arguments.
        environment: all of its environment variables.
    """

    command: list[str]
    environment: dict[str, str]


class ClientLimits(NamedTuple):
    """What clients may take; times are in seconds.

    Attributes:
        header_timeout: for the head of a request.
        idle_timeout: between requests.
        body_timeout: without a byte of a body.
        write_timeout: without taking a byte of a response.
        max_connections: how many connections there may be; None leaves it to the machine.
        max_queue_size: how many requests may wait for a worker.
        stream_heartbeat: without an event of a stream, until they are sent a comment; 0 for ever.
        websocket_idle_timeout: without a message on a WebSocket; 0 for no limit.
        websocket_ping_interval: between two pings of the server; 0 for none.
    """

    header_timeout: int
    idle_timeout: int
    body_timeout: int
    write_timeout: int
    max_connections: int | None
    max_queue_size: int
    stream_heartbeat: int = 0
    websocket_idle_timeout: int = 0
    websocket_ping_interval: int = 0


class FrontEnd(Protocol):
    """A front end that can be started on this machine."""

    @property
    def hint(self) -> str:
        """What to say when it has ended too early, of what the user has set; "" for nothing."""
        ...

    def prepare(self, folder: str, control_socket: str) -> Launch:
        """Write what it reads when it starts.

        Args:
            folder: a private directory for its files.
            control_socket: the path of the unix socket that the supervisor listens on.

        Raises:
            StartError: it cannot be started so.
        """
        ...

    def connections_for(self, slots: int, workers: int) -> int:
        """How many connections it opens to the workers of a deployment.

        Args:
            slots: how many keep one worker busy.
            workers: how many workers there are.
        """
        ...

    def background(self, folder: str) -> Launch | None:
        """What to run in the background of a server, so that later ones start faster; or None.

        Args:
            folder: a private directory, for temporary files: what is killed leaves some.
        """
        ...
