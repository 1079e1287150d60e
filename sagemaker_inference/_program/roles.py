"""Roles: the kinds of handlers, and the arguments that each kind may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTEXT: Final = "context"


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of handler.

    Attributes:
        name: the decorator's name.
        arguments: what a handler may take, in this order; the context follows.
        min_arguments: how many of them a handler must take to be useful.
        may_be_async: whether it may await.
        may_stream: whether it may yield items that are sent one by one.
        may_have_path: whether there may be one for each of several paths.
    """

    name: str
    arguments: tuple[str, ...]
    min_arguments: int
    may_be_async: bool = True
    may_stream: bool = False
    may_have_path: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join((*self.arguments, CONTEXT))})"


MODEL_LOADER: Final = Role("model_loader", ("model_dir",), 0)
DECODER: Final = Role("decoder", ("body", "content_type"), 1)
PREDICTOR: Final = Role("predictor", ("data", "model"), 1, may_stream=True, may_have_path=True)
ENCODER: Final = Role("encoder", ("prediction", "accept"), 1)
TRANSFORMER: Final = Role(
    "transformer",
    ("model", "body", "content_type", "accept"),
    2,
    may_stream=True,
    may_have_path=True,
)
BEFORE_LOAD: Final = Role("before_load", ("model_dir",), 0)
WARMUP: Final = Role("warmup", ("model_dir", "model"), 0)
HEALTH_CHECK: Final = Role("health_check", ("model",), 0, may_be_async=False)
ON_SHUTDOWN: Final = Role("on_shutdown", ("model",), 0)
BIDIRECTIONAL: Final = Role("bidirectional", ("messages", "model"), 1, may_stream=True)
SESSION_START: Final = Role("session_start", ("model",), 0)
SESSION_END: Final = Role("session_end", ("state", "model"), 0)
ALL: Final = (
    MODEL_LOADER,
    DECODER,
    PREDICTOR,
    ENCODER,
    TRANSFORMER,
    BEFORE_LOAD,
    WARMUP,
    ON_SHUTDOWN,
    BIDIRECTIONAL,
    SESSION_START,
    SESSION_END,
)
