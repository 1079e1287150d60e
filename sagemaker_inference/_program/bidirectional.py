"""The decorator of handlers that talk with a client over a WebSocket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program import paths, roles
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    _Sent = AsyncIterator[Any]

    class _OneAndContext(Protocol):
        def __call__(self, messages: Any, /, *, context: Any) -> _Sent: ...

    class _TwoAndContext(Protocol):
        def __call__(self, messages: Any, model: Any, /, *, context: Any) -> _Sent: ...

    BidirectionalHandler = TypeVar(
        "BidirectionalHandler",
        bound=Callable[[Any], _Sent]
        | Callable[[Any, Any], _Sent]
        | Callable[[Any, Any, Any], _Sent]
        | _OneAndContext
        | _TwoAndContext,
    )

_MAX_MESSAGE: Final = 1 << 20
# The front end holds a message in one piece of memory.
_MOST_MESSAGE: Final = 1 << 28
_EXAMPLE: Final = "async def {}(messages, model, context): ... yield ..."


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """What messages a bidirectional handler takes.

    Attributes:
        path: where clients connect.
        max_message: most bytes of a message.
        raw: whether it gets the fragments of messages as they come.
    """

    path: str
    max_message: int = _MAX_MESSAGE
    raw: bool = False


class BidirectionalDecorator(ABC):
    """The decorator ``@bidirectional`` of a registry."""

    @abstractmethod
    def add(self, new: Registration) -> None:
        """Add a registration."""

    @overload
    def bidirectional(self, function: BidirectionalHandler, /) -> BidirectionalHandler: ...
    @overload
    def bidirectional(
        self, path: str = ..., /, *, max_message: int = ..., raw: bool = ...
    ) -> Callable[[BidirectionalHandler], BidirectionalHandler]: ...
    def bidirectional(
        self,
        path: Any = paths.BIDIRECTIONAL,
        /,
        *,
        max_message: int = _MAX_MESSAGE,
        raw: bool = False,
    ) -> Any:
        """Register an async generator that talks with a client: ``talk(messages, model, context)``.

        ``messages`` is an async iterator of what the client sends: str for a text, bytes for a
        binary message. It ends when the client closes the connection. A str that is yielded goes
        out as a text, bytes as a binary message.

        >>> from sagemaker_inference import Registry
        >>> registry = Registry()
        >>> @registry.bidirectional
        ... async def talk(messages, model):
        ...     async for message in messages:
        ...         yield f"{len(message)} characters"

        Args:
            path: where clients connect; ``/invocations-bidirectional-stream`` without it.
            max_message: most bytes of a message; a larger one closes the connection with 1009.
            raw: whether ``messages`` are `Fragment` objects, one for each frame.

        Raises:
            RegistrationError: the function is not an async generator or cannot be called with
                these arguments, the path is one of the platform's, an option is out of range, or
                another handler has this path.
        """
        if callable(path):
            return self._register(path, SocketOptions(paths.BIDIRECTIONAL))
        if path != paths.BIDIRECTIONAL:
            paths.checked("bidirectional", path, paths.BIDIRECTIONAL)
        is_size = isinstance(max_message, int) and not isinstance(max_message, bool)
        if not (is_size and 1 <= max_message <= _MOST_MESSAGE):
            message = (
                f"@bidirectional: max_message must be an integer from 1 to {_MOST_MESSAGE}, got "
                f"{max_message!r}."
            )
            raise RegistrationError(message)
        options = SocketOptions(path, max_message, bool(raw))
        return lambda function: self._register(function, options)

    def _register(self, function: Any, options: SocketOptions) -> Any:
        handler = Handler.from_function(roles.BIDIRECTIONAL, function, checks_names=True)
        if not handler.yields_async:
            name = getattr(function, "__name__", "talk")
            what = "has no yield" if handler.is_async else "is not async"
            message = (
                f"@bidirectional is on {handler}, which is not an async generator: it {what}. "
                f"Write: {_EXAMPLE.format(name)}"
            )
            raise RegistrationError(message)
        self.add(Registration(handler, socket=options))
        return function
