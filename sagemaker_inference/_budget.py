"""How much a body may unpack to."""

from __future__ import annotations

from typing import Final

from sagemaker_inference._errors import PayloadTooLargeError

_LEAST: Final = 64 << 20
_TIMES: Final = 20


def unpacked_limit(body_size: int, times: int = _TIMES) -> int:
    """How many bytes a body of this size may unpack to: 20 times as many, at least 64 MiB."""
    return max(_LEAST, times * body_size)


def check_unpacked(size: int, body_size: int, format_name: str, times: int = _TIMES) -> None:
    """Reject a body that unpacks to far more than was sent.

    Raises:
        PayloadTooLargeError: ``size`` is over the limit.
    """
    limit = unpacked_limit(body_size, times)
    if size > limit:
        message = (
            f"The {format_name} body of {body_size} bytes unpacks to {size} bytes, over the limit "
            f"of {limit}"
        )
        raise PayloadTooLargeError(message[:300])
