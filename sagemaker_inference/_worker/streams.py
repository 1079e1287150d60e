"""Answers that are streams: who sends them, and what is counted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sagemaker_inference._http.sendable import problem_of_headers
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import Stream
from sagemaker_inference._worker.batch_senders import send_in_turn
from sagemaker_inference._worker.request_metrics import SocketMetrics, StreamMetrics
from sagemaker_inference._worker.senders import BlockingSender, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.sockets import Socket
    from sagemaker_inference._ipc.slots import SlotTable
    from sagemaker_inference._worker.work import Work


class Streams:
    """The streams of a worker.

    Args:
        config: what they may take.
        table: the shared records.
        stop_fd: readable when the worker is to end.
        copied: as for `Limits`.
    """

    def __init__(self, config: Config, table: SlotTable, stop_fd: int, copied: int = 0) -> None:
        self.limits = Limits(config, table, stop_fd, copied)
        self._metrics: StreamMetrics | None = None
        self._sockets: SocketMetrics | None = None

    @staticmethod
    def are_open(responses: list[Response]) -> bool:
        """Whether the answer to a message is a stream that is to be sent.

        One whose headers cannot be sent is dropped: nothing has gone out yet, and the loop answers
        with a failure.
        """
        response = responses[0]
        stream = response.body
        if not isinstance(stream, Stream) or stream.ending is not None or len(responses) > 1:
            return False
        if problem_of_headers(response.headers):
            stream.end()
            response.body = b""
            return False
        return True

    def send(self, work: Work, responses: list[Response]) -> bool:
        """Send the answer to a message in this thread, if it is a stream that was not sent yet.

        Returns:
            Whether it was sent, now or before.
        """
        response = responses[0]
        if self.are_open(responses):
            sender = BlockingSender(self.limits, work.connection, response)
            cast("Stream", response.body).ending = run_without_loop(sender.send())
        return isinstance(response.body, Stream) and response.body.ending is not None

    def send_all(
        self, answers: list[tuple[Work, list[Response]]]
    ) -> Iterator[tuple[Work, list[Response]]]:
        """Send what is a stream of the answers to a batch; yields each answer when it is over.

        Those that are no streams come first, and are not sent.
        """
        streams = {}
        for work, responses in answers:
            if self.are_open(responses):
                streams[work] = responses
            else:
                yield work, responses
        if streams:
            opened = [(work, responses[0]) for work, responses in streams.items()]
            for work in send_in_turn(self.limits, opened):
                yield work, streams[work]

    def note(self, response: Response) -> Stream:
        """Count a stream that was sent; to be called in the thread of the worker's loop."""
        stream = cast("Stream", response.body)
        response.status = stream.ending.status
        if stream.is_socket:
            self._sockets = self._sockets or SocketMetrics()
            self._sockets.record(cast("Socket", stream))
            return stream
        if self._metrics is None:
            self._metrics = StreamMetrics()
        self._metrics.record(stream, response)
        return stream
