"""Comments in quiet event streams, as the front end sends them (`StreamedBody` in `java/`)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types

if TYPE_CHECKING:
    from sagemaker_inference._config import Config

# Readers of events skip it.
COMMENT: Final = b": \n\n"
_ENDS: Final = (b"\n\n", b"\r\n\r\n")
_LONGEST_END: Final = 4


class Heartbeat:
    """Whether, and after how long, a stream that is quiet needs a comment.

    Args:
        content_type: the Content-Type of the stream: only streams of events get comments.
        config: how long a stream may be quiet.
    """

    def __init__(self, content_type: str, config: Config) -> None:
        is_event_stream = content_types.parse(content_type).name == content_types.EVENT_STREAM
        self._interval = config.stream_heartbeat if is_event_stream else 0
        self._ending = b""

    @property
    def patience(self) -> float:
        """Seconds until a comment is due; infinite where it would be within an event."""
        return self._interval if self._interval and self._ending.endswith(_ENDS) else inf

    def note(self, chunk: bytes) -> None:
        """Note what has been sent."""
        if self._interval:
            # Programs that frame their events may yield them in pieces.
            self._ending = (self._ending + chunk[-_LONGEST_END:])[-_LONGEST_END:]
