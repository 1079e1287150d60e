"""The platform's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the platform allows; sizes are in bytes, times in seconds.

    Attributes:
        request_size: the body of a request.
        router_size: the body of a request to an inference router.
        inline_size: the body of an asynchronous request that has no input location.
        async_size: the object at an input location.
        accept: for the container to accept a connection.
        answer: for the whole answer, or the first byte of a stream.
        stream: for a whole stream.
        async_answer: for the answer to an asynchronous request that names no limit.
        ping: for the answer to a ping.
        ping_pause: between two pings of an endpoint in service.
        first_ping_pause: between two pings of one that starts.
        start: from the start of the container to the first ping that is answered with 200.
        failed_pings: in a row, after which no requests are sent any more.
        load: for the container to load one of many models.
        stop: from SIGTERM to SIGKILL.
        scrape_pause: between two scrapes of /metrics.
        websocket_ping: between two pings of a WebSocket.
        websocket_patience: for their answers, before the connection is closed.
    """

    request_size: int = 25 * _MB
    router_size: int = 6 * _MB
    inline_size: int = 128_000
    async_size: int = 1 << 30
    accept: float = 0.25
    answer: float = 60.0
    stream: float = 480.0
    async_answer: float = 900.0
    ping: float = 2.0
    ping_pause: float = 5.0
    first_ping_pause: float = 0.5
    start: float = 480.0
    failed_pings: int = 3
    load: float = 360.0
    stop: float = 30.0
    scrape_pause: float = 60.0
    websocket_ping: float = 60.0
    websocket_patience: float = 300.0


REAL_TIME: Final = Limits()
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
SERVERLESS: Final = Limits(request_size=4 * _MB, start=180.0)
# What botocore's service model says of InvokeEndpoint, where the documentation says 25 MB.
STRICT_REQUEST_SIZE: Final = 6_291_456
