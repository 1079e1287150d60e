"""Choose the writer of a response by the Accept header: the program's encoders, then formats.

The choice is made once for each value of the header, and before predicting: a request whose
response cannot be written costs no prediction.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import NotAcceptableError
from sagemaker_inference._inference.decoding import most_specific
from sagemaker_inference._inference.replies import with_charset
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._inference.stream_formats import StreamFormat
    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.signatures import Handler

# Clients choose the header: the cache must not grow with what they send.
_CACHE_SIZE: Final = 256


class Encoding(NamedTuple):
    """How responses for one Accept header are written.

    Attributes:
        write: ``write(prediction, content_type)``; with a handler,
            ``write(prediction, content_type, context)``.
        content_type: the negotiated content type.
        handler: the program's encoder, or None for a built-in format.
        is_async: whether ``write`` returns an awaitable.
        is_free: whether neither the client nor the program has chosen the content type.
        text_type: what a built-in format that writes plain text calls it; "" for others.
    """

    write: Callable[..., Any]
    content_type: str
    handler: Handler | None = None
    is_async: bool = False
    is_free: bool = False
    text_type: str = ""

    def for_prediction(self, prediction: Any) -> Encoding:
        """This, or octet-stream for bytes, which JSON cannot hold, where the choice is free."""
        if not self.is_free or not isinstance(prediction, (bytes, bytearray, memoryview)):
            return self
        codec = codecs.for_content_type(content_types.OCTET_STREAM)
        if codec is None or codec.encode is None:
            return self
        return Encoding(codec.encode, content_types.OCTET_STREAM)


class Encoders:
    """The writers of response bodies of one program.

    Args:
        registered: the program's encoders, in the order of registration.
        fallback: the encoders of a framework, for types that the program does not write.
        default_accept: the Accept header to assume if the client accepts anything.
        is_chosen: whether somebody has chosen it.

    Attributes:
        for_accept: the `Encoding` for an Accept header; raises NotAcceptableError.
        preferred: the concrete content type to pass to a transformer for an Accept header.
        for_stream: the `StreamFormat` for an Accept header; raises NotAcceptableError.
    """

    def __init__(
        self,
        registered: Sequence[Registration],
        fallback: Sequence[Registration],
        default_accept: str,
        *,
        is_chosen: bool = False,
    ) -> None:
        self.registered = tuple(registered)
        self.fallback = tuple(fallback)
        self.default_accept = default_accept
        self.is_chosen = is_chosen
        self.for_accept = codecs.cached(self._find)
        self.preferred = lru_cache(_CACHE_SIZE)(self._find_preferred)
        self.for_stream = codecs.cached(self._find_stream)

    @property
    def writable(self) -> tuple[str, ...]:
        """Content types that can be written, those of the program's encoders first."""
        return tuple(dict.fromkeys((*self._registered_names(), *codecs.encodable())))

    def _registered_names(self) -> list[str]:
        return [name for item in self.registered for name in item.content_types]

    @property
    def has_default(self) -> bool:
        """Whether a client that accepts anything gets a response."""
        try:
            return bool(self.for_accept("").content_type)
        except NotAcceptableError:
            return False

    def _find(self, accept: str) -> Encoding:
        ranges, is_any = _ranges(accept)
        if is_any:
            accept = self.default_accept
            ranges = list(content_types.parse_accept(accept))
        named = [name for name, _ in ranges if "*" not in name]
        # If no concrete type is acceptable, an encoder registered for a wildcard names the type.
        wildcards = [name for name, _ in ranges if most_specific(self.registered, name)]
        chosen = content_types.negotiate(accept, self._offers(named))
        chosen = chosen or content_types.negotiate(accept, wildcards)
        encoder = self._encoder(chosen) if chosen else None
        if chosen and encoder:
            handler = encoder.handler
            return Encoding(handler.call, chosen, handler, handler.is_async)
        codec = codecs.for_content_type(chosen) if chosen else None
        if chosen is None or codec is None or codec.encode is None:
            error = self._not_acceptable(accept, named)
            if content_types.quality(ranges, content_types.EVENT_STREAM):
                # Whether the prediction is a stream, which can be written so, is not known yet.
                return refusing(error.message)
            raise error
        is_free = is_any and accept == content_types.JSON and not self.is_chosen
        text_type = with_charset(chosen)
        return Encoding(
            codec.encode,
            chosen,
            is_free=is_free,
            text_type=text_type if text_type != chosen else "",
        )

    def _find_stream(self, accept: str) -> StreamFormat:
        from sagemaker_inference._inference import stream_formats

        ranges, is_any = _ranges(accept)
        is_free = is_any and not (self.is_chosen or self.registered)
        if is_free:
            accept = content_types.JSON_LINES
        elif is_any:
            accept = self.default_accept
        named = [name for name, _ in content_types.parse_accept(accept) if "*" not in name]
        # As in `_find`.
        wildcards = [name for name, _ in ranges if most_specific(self.registered, name)]
        offers = [*named, *self._registered_names(), *stream_formats.OFFERS]
        offers = [name for name in offers if "*" not in name and self._streams(name)]
        chosen = content_types.negotiate(accept, offers)
        chosen = chosen or content_types.negotiate(accept, wildcards)
        found = self._streams(chosen) if chosen else None
        if found is None:
            message = (
                f"Accept {accept[:80]!r} is not supported for a stream; accept one of: "
                f"{', '.join(dict.fromkeys(offers))}."
            )
            raise NotAcceptableError(message)
        return found._replace(is_free=is_free)

    def _streams(self, name: str) -> StreamFormat | None:
        """The format of a type, where a stream can be written as that."""
        from sagemaker_inference._inference import stream_formats

        # AWS's encoders for script functions write whole predictions.
        encoder = most_specific(self.registered, name)
        if encoder is None:
            return stream_formats.built_in(name)
        return stream_formats.framed(name).by(encoder.handler)

    def prepare_stream(self) -> None:
        """Import what the first stream would otherwise wait for."""
        with suppress(NotAcceptableError):
            self.for_stream("")

    def for_transformer_stream(self, accept: str, returned_type: str) -> StreamFormat:
        """The format of what a transformer yields, which may be a type that has none here.

        Args:
            accept: the Accept header.
            returned_type: the content type that the transformer has returned, or "".
        """
        from sagemaker_inference._inference import stream_formats

        if returned_type:
            return stream_formats.framed(returned_type)
        try:
            return self.for_stream(accept)
        except NotAcceptableError:
            return stream_formats.framed(self.preferred(accept))

    def _offers(self, named: Sequence[str]) -> list[str]:
        """The content types that can be written, in the server's order of preference."""
        defaults = content_types.parse_accept(self.default_accept)
        offers = [name for name, _ in defaults if "*" not in name and self._writes(name)]
        offers += [
            name
            for registration in self.registered
            for name in registration.content_types
            if "*" not in name
        ]
        offers += [name for name in named if self._encoder(name) is not None]
        offers += codecs.encodable()
        # Codecs list one name each; aliases such as application/x-ndjson count as well.
        offers += [
            name for name in named if (alias := codecs.for_content_type(name)) and alias.encode
        ]
        return offers

    def _encoder(self, name: str) -> Registration | None:
        return most_specific(self.registered, name) or most_specific(self.fallback, name)

    def _writes(self, name: str) -> bool:
        """Whether a response can have this type."""
        if self._encoder(name) is not None:
            return True
        codec = codecs.for_content_type(name)
        return codec is not None and codec.encode is not None

    def _not_acceptable(self, accept: str, named: Sequence[str]) -> NotAcceptableError:
        for fix in filter(None, map(codecs.fix_for, named)):
            get_logger().warning("Accept %.80r cannot be answered: %s", accept, fix)
        message = (
            f"Accept {accept[:80]!r} is not supported; accept one of: {', '.join(self.writable)}."
        )
        return NotAcceptableError(message)

    def _find_preferred(self, accept: str) -> str:
        """The client's preferred type: which types a transformer writes is not known."""
        ranges = content_types.parse_accept(accept)
        preferences = sorted(
            (-quality, index, name) for index, (name, quality) in enumerate(ranges) if quality
        )
        if not preferences or "*" in preferences[0][2]:
            return self.default_accept
        return preferences[0][2]


def _ranges(accept: str) -> tuple[list[tuple[str, float]], bool]:
    """The media ranges of an Accept header, and whether it leaves the choice."""
    # What is not a media type, such as "a", counts as absent.
    ranges = [(name, q) for name, q in content_types.parse_accept(accept) if "/" in name]
    return ranges, all(name == content_types.ANY and quality for name, quality in ranges)


def refusing(message: str) -> Encoding:
    """An encoding of streams alone, which refuses whole predictions."""

    def refuse(_prediction: Any, _content_type: str) -> bytes:
        raise NotAcceptableError(message)

    return Encoding(refuse, content_types.EVENT_STREAM)
