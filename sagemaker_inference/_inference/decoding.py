"""From a Content-Type to what reads the body: the program's decoders, then the built-in formats.

Everything here is looked up once for each value of a header, so that the path of a request has no
choice left to make.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import (
    RegistrationError,
    UnprocessableInputError,
    UnsupportedMediaTypeError,
)
from sagemaker_inference._inference.annotations import (
    as_bytes,
    converter_for,
    is_raw,
    item_hint,
)
from sagemaker_inference.codecs import form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference._program.registry import Registration
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body


class Decoding(NamedTuple):
    """How bodies of one Content-Type are read.

    Attributes:
        read: ``read(body, content_type)``; with a handler, ``read(body, content_type, context)``.
        handler: the program's decoder, or None for a built-in format.
        is_async: whether ``read`` returns an awaitable.
        is_form: whether the body is a form to be taken apart; ``read`` is not used then.
    """

    read: Callable[..., Any]
    handler: Handler | None = None
    is_async: bool = False
    is_form: bool = False


class Decoders:
    """What reads the bodies of one program.

    Args:
        own: the program's decoders, in the order of registration.
        fallback: a framework's, for types that the program leaves.
        predictor: what gets the data, whose annotation counts; None beside a transformer.

    Attributes:
        for_content_type: the `Decoding` of a Content-Type header; raises UnsupportedMediaTypeError.
        for_part: the `Decoding` of a part of a form, by its own Content-Type.

    Raises:
        RegistrationError: a parameter's annotation asks for what no body can become, or for a
            library that is not installed.
    """

    def __init__(
        self,
        own: Sequence[Registration],
        fallback: Sequence[Registration],
        predictor: Registration | None,
    ) -> None:
        self.own = tuple(own)
        self.fallback = tuple(fallback)
        hint = _data_hint(predictor)
        self._takes_raw_bodies = is_raw(hint)
        with named("data", predictor):
            self._convert = self._converter(hint)
        self._body_converters: dict[int, Callable[[Body, str], Any]] = {}
        for registration in (*self.own, *self.fallback):
            with named("body", registration):
                self._body_converters[id(registration)] = body_converter(registration)
        self.for_content_type = codecs.cached(self._find)
        self.for_part = codecs.cached(self._find_for_part)

    def _converter(self, hint: Any) -> Convert | None:
        try:
            return converter_for(hint)
        except RegistrationError:
            # With decoders of its own, a program may make what nothing here can.
            if self.own or self.fallback:
                return self._refuse
            raise

    @property
    def readable(self) -> tuple[str, ...]:
        """Content types that can be read, the program's own first."""
        names = [name for registration in self.own for name in registration.content_types]
        return tuple(dict.fromkeys((*names, *codecs.decodable())))

    @property
    def is_async(self) -> bool:
        """Whether one of the program's decoders awaits."""
        return any(registration.handler.is_async for registration in self.own)

    def reads_whole(self, content_type: str) -> bool:
        """Whether forms, and query parameters beside this type, are not to be taken apart."""
        name = content_types.parse(content_type).name
        return self._takes_raw_bodies or most_specific(self.own, name) is not None

    def convert_fields(self, fields: dict[str, Any]) -> Any:
        """Make what the predictor is annotated with of a form's fields.

        Raises:
            UnprocessableInputError: they do not fit.
        """
        if self._takes_raw_bodies:
            message = "The body itself is wanted, not a form; send it with its own Content-Type."
            raise UnprocessableInputError(message)
        if self._convert is None:
            return fields

        def decoded_already(_body: Body, _content_type: str) -> dict[str, Any]:
            return fields

        return self._convert(b"", content_types.MULTIPART, decode=decoded_already)

    def _find(self, content_type: str) -> Decoding:
        if not content_type:
            return self._guess()
        if content_types.is_form(content_type) and not self.reads_whole(content_type):
            return Decoding(_no_format, is_form=True)
        name = content_types.parse(content_type).name
        own = self._own(name)
        if own is not None:
            return self._with_handler(own)
        decode = self._format(name)
        if self._convert is None:
            return Decoding(decode)
        return Decoding(partial(self._convert, decode=decode))

    def _find_for_part(self, content_type: str) -> Decoding:
        """An annotation is for the form, not for its parts.

        A part without a type is text if it can be read as that; a part of a type that nothing here
        reads stays bytes.
        """
        name = content_types.parse(content_type).name
        # Multi Model Server's own back end gives the type of the form to fields that have none.
        name = "" if name == content_types.FORM else name
        own = self._own(name) if name else None
        return Decoding(form.reader(name)) if own is None else self._with_handler(own)

    def _own(self, name: str) -> Registration | None:
        return most_specific(self.own, name) or most_specific(self.fallback, name)

    def _with_handler(self, registration: Registration) -> Decoding:
        call, convert = registration.handler.call, self._body_converters[id(registration)]

        def read_with_decoder(body: Body, content_type: str, context: Context) -> Any:
            return call(convert(body, content_type), content_type, context)

        return Decoding(read_with_decoder, registration.handler, registration.handler.is_async)

    def _format(self, name: str) -> Decode:
        """The built-in format of a content type.

        Raises:
            UnsupportedMediaTypeError: there is none, and the predictor does not take raw bodies.
        """
        codec = codecs.for_content_type(name)
        if codec is not None and codec.decode is not None:
            return codec.decode
        if self._takes_raw_bodies:
            return _no_format
        raise self._unsupported(name)

    def _unsupported(self, name: str) -> UnsupportedMediaTypeError:
        message = (
            f"Content-Type {name[:80]!r} is not supported; send one of: {', '.join(self.readable)}."
        )
        return UnsupportedMediaTypeError(message)

    def _refuse(self, _body: Body, content_type: str, /, decode: Decode) -> Any:
        del decode
        raise self._unsupported(content_types.parse(content_type).name)

    def _guess(self) -> Decoding:
        """Read a body without Content-Type, as batch transform may send it.

        RFC 9110 section 8.3 lets the recipient look: a program with decoders of its own gets it;
        otherwise it is JSON where it begins like an array or an object, else CSV.
        """
        if self.own:
            return self._with_handler(self.own[0])
        return Decoding(self._read_untyped)

    def _read_untyped(self, body: Body, _content_type: str) -> Any:
        first = bytes(body[:64]).lstrip()[:1]
        name = content_types.JSON if first in (b"[", b"{") else content_types.CSV
        decode = self._format(name)
        if self._convert is None:
            return decode(body, name)
        return self._convert(body, name, decode=decode)


def _data_hint(predictor: Registration | None) -> Any:
    """What one input of a predictor is annotated with; None without an annotation."""
    if predictor is None:
        return None
    hint = predictor.handler.hints.get("data")
    options = predictor.batching
    if options.max_batch_size > 1 and options.collate == "list":
        return item_hint(hint)
    return hint


def body_converter(registration: Registration) -> Callable[[Body, str], Any]:
    """What turns a body into what a handler takes, by the annotation of its parameter.

    Raises:
        RegistrationError: the annotation asks for what no body of the handler's types can become.
    """
    hint = registration.handler.hints.get("body", bytes)
    convert = converter_for(hint) or as_bytes
    names = [name for name in registration.content_types if "*" not in name]
    unread = [
        name
        for name in names
        if (codec := codecs.for_content_type(name)) is None or not codec.decode
    ]
    if names and unread == names and convert is not as_bytes and not is_raw(hint):
        message = (
            f"no format here reads {unread[0]}, to make of it what the annotation {hint!r} asks "
            "for. Annotate it with bytes or str."
        )
        raise RegistrationError(message)
    # Without a Content-Type the body is what the decoder says it reads.
    default = next((name for name in names if name not in unread), "")

    def convert_body(body: Body, content_type: str) -> Any:
        header = content_type or default
        codec = codecs.for_content_type(header)
        decode = codec.decode if codec and codec.decode else _no_format
        return convert(body, header, decode=decode)

    return convert_body


def most_specific(registrations: Sequence[Registration], name: str) -> Registration | None:
    """The handler whose content type fits best: named, then ``image/*``, then ``*/*``."""
    for pattern in (name, name.partition("/")[0] + "/*", content_types.ANY):
        for registration in registrations:
            if pattern in registration.content_types:
                return registration
    return None


@contextlib.contextmanager
def named(parameter: str, registration: Registration | None) -> Iterator[None]:
    """Name the function and the parameter whose annotation is refused."""
    try:
        yield
    except RegistrationError as error:
        message = f"{parameter} of {registration and registration.handler}: {error}"
        raise RegistrationError(message) from None


def _no_format(_body: Body, content_type: str) -> Any:
    message = f"Content-Type {content_type[:80]!r} is not supported, and nothing here reads it."
    raise UnsupportedMediaTypeError(message)
