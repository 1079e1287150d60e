"""What a worker measures of requests, in memory that the supervisor reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference import metrics
from sagemaker_inference.metrics._server import SOCKETS, SOCKETS_HELP, STREAMS, STREAMS_HELP

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.sockets import Socket
    from sagemaker_inference._inference.streams import Stream

# Those of RFC 6455 and of its registry are below.
_OWN_STATUSES: Final = 1016
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class RequestMetrics:
    """Records requests; made and called by the thread of the worker's loop alone."""

    def __init__(self) -> None:
        self._queue = metrics.server_histogram(
            "sagemaker_inference_queue_seconds",
            "Longest a request can have waited in its worker for the one before.",
        ).recorder()
        self._decode = metrics.server_histogram(
            "sagemaker_inference_decode_seconds", "Seconds to decode a body."
        ).recorder()
        self._predict = metrics.server_histogram(
            "sagemaker_inference_predict_seconds",
            "Seconds of the predictor; each request of a batch counts with the batch's.",
        ).recorder()
        self.batch = metrics.server_histogram(
            "sagemaker_inference_batch_size",
            "Requests that were answered together, where the program takes batches.",
            _BATCH_SIZES,
        ).recorder()

    def record(self, response: Response, waited: float) -> None:
        """Record an answered request.

        Args:
            response: its answer.
            waited: as `AccessLog.write` takes it.
        """
        self._queue(waited)
        self._decode(response.decode_seconds)
        self._predict(response.predict_seconds)


class StreamMetrics:
    """Records streams that were sent, besides what is recorded of every request."""

    def __init__(self) -> None:
        self._first = metrics.server_histogram(
            "sagemaker_inference_stream_first_item_seconds",
            "Seconds until the first item of a stream was there.",
        )
        self._streams = metrics.server_counter(STREAMS, STREAMS_HELP, labels=("end",))
        self._items = metrics.server_counter(
            "sagemaker_inference_stream_items", "Items of streams that were sent."
        )

    def record(self, stream: Stream, response: Response) -> None:
        """Record a stream that has ended."""
        first = response.decode_seconds + response.predict_seconds + response.encode_seconds
        self._first.observe(first)
        self._streams.inc(end=stream.ending.name)
        self._items.inc(stream.items)


class SocketMetrics:
    """Records WebSockets that have ended."""

    def __init__(self) -> None:
        self._sockets = metrics.server_counter(SOCKETS, SOCKETS_HELP, labels=("close",))
        self._messages = metrics.server_counter(
            "sagemaker_inference_socket_messages",
            "Messages of WebSockets, from and to clients.",
            labels=("direction",),
        )

    def record(self, socket: Socket) -> None:
        """Record a WebSocket that has ended."""
        # Clients choose from a thousand statuses.
        code = socket.close_code
        self._sockets.inc(close=str(code) if code < _OWN_STATUSES else "other")
        self._messages.inc(socket.received_items, direction="in")
        self._messages.inc(socket.items, direction="out")
