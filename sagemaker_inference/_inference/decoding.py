"""Choose the reader of a body by its Content-Type: the program's decoders, then built-in formats.

The choice is made once for each value of the header and cached.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
from sagemaker_inference._inference.annotations.files import (
    FileConverter,
    is_any_body,
    names_of_files,
)
from sagemaker_inference._inference.annotations.limits import UncheckedLimitError
from sagemaker_inference.codecs import form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body


# Formats that batch transform splits into records.
_ROWS: Final = (
    content_types.CSV,
    "application/jsonlines",
    "application/x-recordio-protobuf",
    "text/libsvm",
)


class Decoding(NamedTuple):
    """How bodies of one Content-Type are read.

    Attributes:
        read: ``read(body, content_type)``; with a handler, ``read(body, content_type, context)``.
        handler: the program's decoder, or None for a built-in format.
        is_async: whether ``read`` returns an awaitable.
        is_form: whether the body is a form to parse into fields; ``read`` is not used then.
    """

    read: Callable[..., Any]
    handler: Handler | None = None
    is_async: bool = False
    is_form: bool = False


class Decoders:
    """The readers of request bodies of one program.

    Args:
        registered: the program's decoders, in the order of registration.
        fallback: the decoders of a framework, for types that the program does not read.
        predictor: the predictor, whose annotation chooses the type of the data; None if the
            program has a transformer.

    Attributes:
        hint: the annotation of the data of one request; None if there is none.
        are_listed: whether the predictor takes a list of such data, and returns one of predictions.
        for_content_type: the `Decoding` of a Content-Type header; raises UnsupportedMediaTypeError.
        file_names: the names of the parts of a form that are files; None where all are.
        for_part: the `Decoding` of a part of a form, by the Content-Type of the part.

    Raises:
        RegistrationError: an annotation names a type that no body can be converted to, or a
            library that is not installed.
    """

    def __init__(
        self,
        registered: Sequence[Registration],
        fallback: Sequence[Registration],
        predictor: Registration | None,
    ) -> None:
        self.registered = tuple(registered)
        self.fallback = tuple(fallback)
        of_all_types = [item for item in fallback if content_types.ANY in item.content_types]
        # Reads what has no Content-Type: a script's, and AWS's containers', are passed None.
        self._first = next(iter((*registered, *of_all_types)), None)
        self.are_listed = _takes_lists(predictor)
        self.hint = hint = _data_hint(predictor)
        self._takes_raw_bodies = is_raw(hint)
        self._takes_any_body = self._takes_raw_bodies or is_any_body(hint)
        self.file_names = names_of_files(hint)
        with naming_parameter("data", predictor):
            self._convert = self._converter(hint)
        self._body_converters: dict[int, Callable[[Body, str], Any]] = {}
        for registration in (*self.registered, *self.fallback):
            with naming_parameter("body", registration):
                self._body_converters[id(registration)] = body_converter(registration)
        self.for_content_type = codecs.cached(self._find)
        self.for_part = codecs.cached(self._find_for_part)

    def _converter(self, hint: Any) -> Convert | None:
        try:
            return converter_for(hint)
        except UncheckedLimitError:
            raise
        except RegistrationError:
            # The decoders of a program may create what the built-in formats cannot.
            if self.registered or self.fallback:
                return self._refuse
            raise

    @property
    def readable(self) -> tuple[str, ...]:
        """Content types that can be read, those of the program's decoders first."""
        names = [name for registration in self.registered for name in registration.content_types]
        return tuple(dict.fromkeys((*names, *codecs.decodable())))

    @property
    def reads_rows(self) -> bool:
        """Whether no decoder of the program reads a format that holds several records."""
        if self._takes_any_body:
            return False
        decoders = (most_specific(self.registered, name) for name in _ROWS)
        return all(decoder is None or decoder.is_script for decoder in decoders)

    def takes_raw_body(self, content_type: str) -> bool:
        """Whether a handler takes the body of this type as it is, be it a form or empty."""
        name = content_types.parse(content_type).name
        takes_any = self._takes_raw_bodies or (
            self._takes_any_body and not content_types.is_form(name)
        )
        return takes_any or most_specific(self.registered, name) is not None

    def convert_fields(self, pairs: Sequence[tuple[str, Any]]) -> Any:
        """Convert the fields of a form to the type with which the predictor is annotated.

        Args:
            pairs: the names and the values, in their order.

        Raises:
            UnprocessableInputError: they do not fit.
        """
        if self._takes_raw_bodies:
            message = "Expected a body, not a form; send it with its own Content-Type."
            raise UnprocessableInputError(message)
        if isinstance(self._convert, FileConverter):
            return self._convert.of_parts(pairs)
        fields = form.gathered(pairs)
        if self._convert is None:
            return fields

        def decoded_already(_body: Body, _content_type: str) -> dict[str, Any]:
            return fields

        return self._convert(b"", content_types.MULTIPART, decode=decoded_already)

    def _find(self, content_type: str) -> Decoding:
        if not content_type:
            return self._guess()
        if content_types.is_form(content_type) and not self.takes_raw_body(content_type):
            return Decoding(_no_format, is_form=True)
        name = content_types.parse(content_type).name
        decoder = self._decoder(name)
        if decoder is not None:
            return self._with_handler(decoder)
        decode = self._format(name)
        if self._convert is None:
            return Decoding(decode)
        return Decoding(partial(self._convert, decode=decode))

    def _find_for_part(self, content_type: str) -> Decoding:
        """The `Decoding` of a part; the predictor's annotation is for the form, not its parts.

        A part without a Content-Type is text if it can be decoded as text; a part of an unsupported
        type stays bytes.
        """
        name = content_types.parse(content_type).name
        # Multi Model Server's stock back end gives fields without a type that of the form.
        name = "" if name == content_types.FORM else name
        decoder = self._decoder(name) if name else None
        return Decoding(form.reader(name)) if decoder is None else self._with_handler(decoder)

    def has_own(self, content_type: str) -> bool:
        """Whether a handler reads bodies of this type, and not the built-in format."""
        return self._decoder(content_types.parse(content_type).name) is not None

    def assumed_type(self, body: Body) -> str:
        """What a body without a Content-Type is taken for, which batch transform may send.

        RFC 9110 section 8.3 allows the recipient to examine the body. The program's first decoder
        reads it, or a framework's of all types; without one, a body that starts like an array or an
        object is JSON, else CSV.
        """
        if self._first is not None:
            return self._first.content_types[0]
        first = bytes(body[:64]).lstrip()[:1]
        return content_types.JSON if first in (b"[", b"{") else content_types.CSV

    def _decoder(self, name: str) -> Registration | None:
        return most_specific(self.registered, name) or most_specific(self.fallback, name)

    def _with_handler(self, registration: Registration) -> Decoding:
        call, convert = registration.handler.call, self._body_converters[id(registration)]

        def read_with_decoder(body: Body, content_type: str, context: Context) -> Any:
            return call(convert(body, content_type), content_type, context)

        return Decoding(read_with_decoder, registration.handler, registration.handler.is_async)

    def _format(self, name: str) -> Decode:
        """The built-in format of a content type.

        Raises:
            UnsupportedMediaTypeError: it is not supported, and the predictor does not take raw
                bodies.
        """
        codec = codecs.for_content_type(name)
        if codec is not None and codec.decode is not None:
            return codec.decode
        if self._takes_any_body:
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
        """The `Decoding` of a body without Content-Type, by `assumed_type`."""
        if self._first is not None:
            return self._with_handler(self._first)
        if self.fallback:
            # AWS's, which a predict_fn counts on: it has other shapes than the built-in formats.
            return Decoding(self._read_as_scripts, self.fallback[0].handler)
        return Decoding(self._read_untyped)

    def _read_as_scripts(self, body: Body, _content_type: str, context: Context) -> Any:
        name = self.assumed_type(body)
        return self.for_content_type(name).read(body, name, context)

    def _read_untyped(self, body: Body, _content_type: str) -> Any:
        # A file is whatever it is.
        name = "" if isinstance(self._convert, FileConverter) else self.assumed_type(body)
        decode = self._format(name)
        if self._convert is None:
            return decode(body, name)
        return self._convert(body, name, decode=decode)


def _data_hint(predictor: Registration | None) -> Any:
    """The annotation of one input of the predictor; None without one."""
    if predictor is None:
        return None
    hint = predictor.handler.hints.get("data")
    return item_hint(hint) if _takes_lists(predictor) else hint


def _takes_lists(predictor: Registration | None) -> bool:
    if predictor is None:
        return False
    options = predictor.batching
    return options.max_batch_size > 1 and options.collate == "list"


def body_converter(registration: Registration) -> Callable[[Body, str], Any]:
    """The function that converts a body to the annotation of a handler's ``body`` parameter.

    Raises:
        RegistrationError: no body of the handler's content types can be converted to it.
    """
    hint = registration.handler.hints.get("body", bytes)
    convert = converter_for(hint) or as_bytes
    names = [name for name in registration.content_types if "*" not in name]
    unread = [
        name
        for name in names
        if (codec := codecs.for_content_type(name)) is None or not codec.decode
    ]
    if (
        names
        and unread == names
        and convert is not as_bytes
        and not (is_raw(hint) or is_any_body(hint))
    ):
        message = (
            f"no built-in format reads {unread[0]}, so that it cannot be converted to {hint!r}. "
            "Annotate it with bytes or str."
        )
        raise RegistrationError(message)
    # A body without a Content-Type is taken for the first type that the decoder names.
    default = next((name for name in names if name not in unread), "")

    def convert_body(body: Body, content_type: str) -> Any:
        header = content_type or default
        codec = codecs.for_content_type(header)
        decode = codec.decode if codec and codec.decode else _no_format
        return convert(body, header, decode=decode)

    return convert_body


def most_specific(registrations: Sequence[Registration], name: str) -> Registration | None:
    """The handler whose content type matches best: exactly, then ``image/*``, then ``*/*``."""
    for pattern in (name, name.partition("/")[0] + "/*", content_types.ANY):
        for registration in registrations:
            if pattern in registration.content_types:
                return registration
    return None


@contextlib.contextmanager
def naming_parameter(parameter: str, registration: Registration | None) -> Iterator[None]:
    """Add the function and the parameter to the message of a rejected annotation."""
    try:
        yield
    except RegistrationError as error:
        message = f"{parameter} of {registration and registration.handler}: {error}"
        raise RegistrationError(message) from None


def _no_format(_body: Body, content_type: str) -> Any:
    message = f"Content-Type {content_type[:80]!r} is not supported."
    raise UnsupportedMediaTypeError(message)
