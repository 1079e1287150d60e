"""What a worker has taken and not answered yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference.codecs import Body


@dataclass(eq=False, slots=True)
class Work:
    """A message that waits for its answer.

    Attributes:
        connection: where it came from.
        requests: what it asks for.
        waited: seconds that it may have waited for those before.
        message: its bytes; empty where they are kept already.
    """

    connection: Connection
    requests: list[Request]
    waited: float
    message: Body = b""
