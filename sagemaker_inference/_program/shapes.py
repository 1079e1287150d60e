"""What functions the decorators take, for type checkers: nothing imports this at run time.

The bounds mirror the arguments of `roles.Role`: a type checker rejects, at the decorator, what the
registry would reject, and the decorated function keeps its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class _OneAndContext(Protocol):
    def __call__(self, first: Any, /, *, context: Any) -> Any: ...


class _TwoAndContext(Protocol):
    def __call__(self, first: Any, second: Any, /, *, context: Any) -> Any: ...


_Zero = Callable[[], Any]
_One = Callable[[Any], Any]
_Two = Callable[[Any, Any], Any]
_Three = Callable[[Any, Any, Any], Any]
_Four = Callable[[Any, Any, Any, Any], Any]
_Five = Callable[[Any, Any, Any, Any, Any], Any]

LifecycleHandler = TypeVar("LifecycleHandler", bound=_Zero | _One | _Two | _OneAndContext)
WarmupHandler = TypeVar(
    "WarmupHandler", bound=_Zero | _One | _Two | _Three | _OneAndContext | _TwoAndContext
)
StepHandler = TypeVar("StepHandler", bound=_One | _Two | _Three | _OneAndContext | _TwoAndContext)
TransformerHandler = TypeVar(
    "TransformerHandler", bound=_Two | _Three | _Four | _Five | _TwoAndContext
)
