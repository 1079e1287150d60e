"""What a batch transform job is to send, unless the job says.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._parsers import MEGABYTE

if TYPE_CHECKING:
    from sagemaker_inference._config import Config

PATH: Final = "/execution-parameters"
# What a client reads while that is not known, and how many seconds later it may ask again.
NOT_LOADED: Final = "The model is not loaded yet"
RETRY_SECONDS: Final = "5"
# What SageMaker sends unless it is told otherwise, and the most that it allows: also for the
# product of both.
_USUAL_PAYLOAD_IN_MB: Final = 6
_MOST: Final = 100


def parameters(config: Config, workers: int, limit: int, *, reads_rows: bool) -> dict[str, Any]:
    """What a job is to send.

    Args:
        config: what the environment says.
        workers: how many workers there are.
        limit: how many requests one of them handles at the same time.
        reads_rows: whether a body may hold several records.
    """
    largest = config.payload_limit // MEGABYTE
    payload = min(config.max_payload_in_mb or min(_USUAL_PAYLOAD_IN_MB, largest), _MOST)
    transforms = config.max_concurrent_transforms or workers * limit
    # The other one is what jobs do anyway, and the SDK's local mode cannot read its spelling.
    strategy = config.batch_strategy or (None if reads_rows else "SINGLE_RECORD")
    return {
        "MaxConcurrentTransforms": max(1, min(transforms, _MOST, _MOST // payload)),
        **({"BatchStrategy": strategy} if strategy else {}),
        "MaxPayloadInMB": payload,
    }
