"""What a worker measures of requests, in memory that the supervisor reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference import metrics

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response

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
