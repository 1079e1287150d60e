"""A server with the variables that SageMaker code sets for Multi Model Server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.ports import free_port

from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


def test_sizes_workers_threads_and_the_port_hold_from_end_to_end(serve: Serve) -> None:
    port = free_port()
    env = {
        "MMS_DEFAULT_WORKERS_PER_MODEL": "1",
        "MMS_NETTY_CLIENT_THREADS": "1",
        "MMS_NUMBER_OF_NETTY_THREADS": "3",
        "MMS_DEFAULT_RESPONSE_TIMEOUT": "360",
        "MMS_MAX_REQUEST_SIZE": "52428800",
        "MMS_MAX_RESPONSE_SIZE": "52428800",
        "MMS_INFERENCE_ADDRESS": f"http://0.0.0.0:{port}",
        "SAGEMAKER_BIND_TO_PORT": "",
    }
    server = serve(ECHO, workers=None, env=env, port=port)
    assert "(1 " in next(line for line in server.log.splitlines() if "serving " in line)
    assert server.log.count("MMS_NETTY_CLIENT_THREADS: no effect in this server") == 1
    plain = {"Content-Type": "text/plain", "Accept": "text/plain"}
    for size, status in ((40_000_000, 200), (60_000_000, 413)):
        reply = server.request(b"x" * size, plain)
        assert reply.status == status
    # More clients than one thread of the front end has.
    assert {reply.status for reply in server.all_at_once(["[1]"] * 12)} == {200}


def test_what_cannot_be_had_ends_the_start_by_name(start: Serve) -> None:
    server = start(ACCIDENTS, env={"MMS_JOB_QUEUE_SIZE": "x"})
    assert server.wait_end() == 1
    assert "error: MMS_JOB_QUEUE_SIZE='x' is not a whole number of requests" in server.log
    server = start(ACCIDENTS, env={"MMS_KEYSTORE": "key.pem"})
    assert server.wait_end() == 1
    assert "error: MMS_KEYSTORE='key.pem' is not supported" in server.log
