"""From an Accept header to what writes the answer: the program's encoders, then built-in formats.

The encoder is chosen before the work, once for each value of the header: a client that accepts
nothing that can be written costs no prediction.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import NotAcceptableError
from sagemaker_inference._inference.decoding import most_specific
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._program.registry import Registration
    from sagemaker_inference._program.signatures import Handler

# Headers come from clients: what is kept about them must not grow with what they send.
_CACHE_SIZE: Final = 256


class Encoding(NamedTuple):
    """How answers for one Accept header are written.

    Attributes:
        write: ``write(prediction, content_type)``; with a handler,
            ``write(prediction, content_type, context)``.
        content_type: what is written.
        handler: the program's encoder, or None for a built-in format.
        is_async: whether ``write`` returns an awaitable.
    """

    write: Callable[..., Any]
    content_type: str
    handler: Handler | None = None
    is_async: bool = False


class Encoders:
    """What writes the answers of one program.

    Args:
        own: the program's encoders, in the order of registration.
        fallback: a framework's, for types that the program leaves.
        default_accept: what to answer with where the client leaves the choice; an Accept header.

    Attributes:
        for_accept: the `Encoding` for an Accept header; raises NotAcceptableError.
        preferred: the concrete type that a transformer should answer with for an Accept header.
    """

    def __init__(
        self, own: Sequence[Registration], fallback: Sequence[Registration], default_accept: str
    ) -> None:
        self.own = tuple(own)
        self.fallback = tuple(fallback)
        self.default_accept = default_accept
        self.for_accept = codecs.cached(self._find)
        self.preferred = lru_cache(_CACHE_SIZE)(self._find_preferred)

    @property
    def writable(self) -> tuple[str, ...]:
        """Content types that can be written, the program's own first."""
        names = [name for registration in self.own for name in registration.content_types]
        return tuple(dict.fromkeys((*names, *codecs.encodable())))

    @property
    def is_async(self) -> bool:
        """Whether one of the program's encoders awaits."""
        return any(registration.handler.is_async for registration in self.own)

    @property
    def has_default(self) -> bool:
        """Whether a client that leaves the choice gets an answer."""
        try:
            return bool(self.for_accept("").content_type)
        except NotAcceptableError:
            return False

    def _find(self, accept: str) -> Encoding:
        ranges = content_types.parse_accept(accept)
        if all(name == content_types.ANY and quality for name, quality in ranges):
            accept = self.default_accept
            ranges = content_types.parse_accept(accept)
        named = [name for name, _ in ranges if "*" not in name]
        # Where nothing concrete will do, an encoder of wildcards finds out what will.
        wildcards = [name for name, _ in ranges if most_specific(self.own, name)]
        chosen = content_types.negotiate(accept, self._offers(named))
        chosen = chosen or content_types.negotiate(accept, wildcards)
        encoder = self._encoder(chosen) if chosen else None
        if chosen and encoder:
            handler = encoder.handler
            return Encoding(handler.call, chosen, handler, handler.is_async)
        codec = codecs.for_content_type(chosen) if chosen else None
        if chosen is None or codec is None or codec.encode is None:
            raise self._not_acceptable(accept, named)
        return Encoding(codec.encode, chosen)

    def _offers(self, named: Sequence[str]) -> list[str]:
        """What can be written, the server's favourite first."""
        defaults = content_types.parse_accept(self.default_accept)
        offers = [name for name, _ in defaults if "*" not in name and self._writes(name)]
        offers += [
            name
            for registration in self.own
            for name in registration.content_types
            if "*" not in name
        ]
        offers += [name for name in named if self._encoder(name) is not None]
        offers += codecs.encodable()
        # An alias such as application/x-ndjson is as good as the name that the codec lists.
        offers += [
            name for name in named if (alias := codecs.for_content_type(name)) and alias.encode
        ]
        return offers

    def _encoder(self, name: str) -> Registration | None:
        return most_specific(self.own, name) or most_specific(self.fallback, name)

    def _writes(self, name: str) -> bool:
        """Whether an answer can be of this type."""
        if self._encoder(name) is not None:
            return True
        codec = codecs.for_content_type(name)
        return codec is not None and codec.encode is not None

    def _not_acceptable(self, accept: str, named: Sequence[str]) -> NotAcceptableError:
        for fix in filter(None, map(codecs.fix_for, named)):
            get_logger().warning("Accept %.80r cannot be answered: %s", accept, fix)
        message = (
            f"Nothing in Accept {accept[:80]!r} can be produced; "
            f"accept one of: {', '.join(self.writable)}."
        )
        return NotAcceptableError(message)

    def _find_preferred(self, accept: str) -> str:
        """Without a list of what a transformer offers, the client's first concrete type counts."""
        ranges = content_types.parse_accept(accept)
        wanted = sorted(
            (-quality, index, name) for index, (name, quality) in enumerate(ranges) if quality
        )
        if not wanted or "*" in wanted[0][2]:
            return self.default_accept
        return wanted[0][2]
