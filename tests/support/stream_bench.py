"""Programs that yield, in a worker's loop, and what a test and such a program tell each other."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from support.builders import config, loaded
from support.mms_bytes import predict_one
from support.stream_bytes import StreamReader

from sagemaker_inference import Registry
from sagemaker_inference._http.messages import Request
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._worker import async_senders, senders
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.worker_bench import Bench

JSON = [("Content-Type", "application/json")]


def service(function: Callable[..., Any], **options: Any) -> Any:
    """A program whose predictor this is."""
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(**options)(function)
    return loaded(registry)


def ask(bench: Bench, data: Any = None, front: int = 0, accept: str = "") -> StreamReader:
    headers = [*JSON, *([("Accept", accept)] if accept else [])]
    bench.front[front].sendall(predict_one(f"id-{front}", json.dumps(data).encode(), headers))
    return StreamReader(bench.front[front])


def unread(bench: Bench, data: Any = None) -> StreamReader:
    """A stream that fills the socket."""
    bench.front[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return ask(bench, data)


async def sender_of(handler: Any, ours: socket.socket) -> Any:
    """What sends a stream of a program, in this process."""
    # Its own end of the pair tells a sender when its worker ends, which it never does.
    limits = senders.Limits(config(), SlotTable(), ours.fileno())
    request = Request.from_body(b"1", "application/json", id="1")
    [response] = await handler.answer([request])
    return async_senders.AsyncSender(limits, Connection(0, 0, ours), response)


class Gate:
    """Lets a program go on when the test says so, and tells what it does."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._heard, self._told = os.pipe()

    def wait(self) -> None:
        os.read(self._read, 1)

    def open(self) -> None:
        os.write(self._write, b"x")

    def tell(self, what: bytes) -> None:
        os.write(self._told, what)

    def hear(self) -> bytes:
        return os.read(self._heard, 100)

    def close(self) -> None:
        for fd in (self._read, self._write, self._heard, self._told):
            os.close(fd)


class Log:
    """Tells a test what a worker's process logs."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def error(self, text: str, *arguments: object, **_options: object) -> None:
        self._gate.tell((text % arguments).encode())
