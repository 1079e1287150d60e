"""``GET /execution-parameters``: what a batch transform job is to send, unless the job says.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._parsers import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._config import Config
    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request

PATH: Final = "/execution-parameters"
# What SageMaker sends unless it is told otherwise, and the most that it allows: also for the
# product of both.
_USUAL_PAYLOAD_IN_MB: Final = 6
_MOST: Final = 100
_OK: Final = 200


def parameters(config: Config, workers: int, report: Report) -> dict[str, Any]:
    """What a job is to send.

    Args:
        config: what the environment says.
        workers: how many workers there are.
        report: what one of them has reported.
    """
    limit = config.payload_limit // MEGABYTE
    payload = min(config.max_payload_in_mb or min(_USUAL_PAYLOAD_IN_MB, limit), _MOST)
    transforms = config.max_concurrent_transforms or workers * report.limit
    # The other one is what jobs do anyway, and the SDK's local mode cannot read its spelling.
    strategy = config.batch_strategy or (None if report.reads_rows else "SINGLE_RECORD")
    return {
        "MaxConcurrentTransforms": max(1, min(transforms, _MOST, _MOST // payload)),
        **({"BatchStrategy": strategy} if strategy else {}),
        "MaxPayloadInMB": payload,
    }


class ExecutionParameters:
    """Answers requests for them.

    Args:
        front_end: what the requests come from.
        find: the parameters; None while the model is not loaded.
    """

    def __init__(
        self, front_end: FrontEndProcess, find: Callable[[], dict[str, Any] | None]
    ) -> None:
        self._front_end = front_end
        self._find = find

    def handle(self, request: Request) -> None:
        """Answer a request."""
        if not self._front_end.takes_read(request, PATH):
            return
        found = self._find()
        if found is None:
            message, retry = "The model is not loaded yet", [("retry-after", "5")]
            self._front_end.refuse(request, ErrorCode.SERVICE_UNAVAILABLE, message, retry)
        else:
            headers = [("content-type", "application/json")]
            self._front_end.reply(request.id, _OK, json.dumps(found).encode(), headers)
