"""From what is registered to the handler that answers requests.

Here a program is complete or refused: everything a request needs is looked up by then, once per
content type, so that the path of a request has no choice left to make.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import (
    _content_types as content_types,
)
from sagemaker_inference import (
    codecs,
    encoder,
    environment,
    parameters,
)
from sagemaker_inference._aws import script_functions
from sagemaker_inference._errors import (
    NotAcceptableError,
    RegistrationError,
    StartError,
    UnprocessableInputError,
    UnsupportedMediaTypeError,
)
from sagemaker_inference._inference import annotations as type_hints
from sagemaker_inference._inference.service import Plan
from sagemaker_inference._log import get_logger
from sagemaker_inference._program import signatures
from sagemaker_inference._program.registry import Batching, Registration, Registry
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.codecs import form
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._http.messages import Context
    from sagemaker_inference._program.signatures import Role
    from sagemaker_inference.codecs import Body

# Headers come from clients: what is remembered about them must not grow with what they send.
_REMEMBERED: Final = 256


class Decoding(NamedTuple):
    """How bodies of one Content-Type are read: ``read(body, content type, context)``."""

    read: Callable[[Body, str, Context], Any]
    is_async: bool = False
    own: Handler | None = None


class Encoding(NamedTuple):
    """How answers for one Accept header are written: ``write(prediction, type, context)``."""

    write: Callable[[Any, str, Context], Any]
    content_type: str
    is_async: bool = False
    own: Handler | None = None
    is_script: bool = False


@dataclass(frozen=True)
class InferenceHandler:
    """A complete program.

    Attributes:
        model_loader, predictor, transformer, before_load, warmup, on_shutdown: its handlers;
            exactly one of predictor and transformer is there.
        batching: how the predictor is fed.
        decoders, encoders: the program's own, in the order of registration.
        default_accept: what to answer with where the client leaves the choice.
        fallback_decoders, fallback_encoders: a framework's, for types that the program leaves.
        predicts_as_script: whether the predictor is AWS's ``predict_fn``, whose annotations say
            nothing about what it is given.
    """

    model_loader: Handler
    predictor: Handler | None
    transformer: Registration | None
    before_load: Handler | None
    warmup: Handler | None
    on_shutdown: Handler | None
    batching: Batching
    decoders: tuple[Registration, ...]
    encoders: tuple[Registration, ...]
    default_accept: str
    fallback_decoders: tuple[Registration, ...] = ()
    fallback_encoders: tuple[Registration, ...] = ()
    predicts_as_script: bool = False
    _decodings: dict[str, Decoding] = field(default_factory=dict)
    _encodings: dict[str, Encoding] = field(default_factory=dict)

    @property
    def is_async(self) -> bool:
        """Whether requests run concurrently in a loop, because a handler of theirs awaits."""
        used = [found.handler for found in (*self.decoders, *self.encoders)]
        used += [self.predictor] if self.predictor else []
        used += [self.transformer.handler] if self.transformer else []
        return any(handler.is_async for handler in used)

    @property
    def plan(self) -> Plan:
        """How requests are to reach this program."""
        return Plan(
            max_batch_size=self.batching.max_batch_size,
            max_batch_delay=self.batching.max_batch_delay,
            threads=self.batching.threads,
            is_async=self.is_async,
        )

    @property
    def readable(self) -> tuple[str, ...]:
        """Content types that can be read, the program's own first."""
        return _own_first(self.decoders, codecs.decodable())

    @property
    def writable(self) -> tuple[str, ...]:
        """Content types that can be answered with, the program's own first."""
        return _own_first(self.encoders, codecs.encodable())

    def decoding(self, content_type: str) -> Decoding:
        """Find out how to read a body.

        Raises:
            UnsupportedMediaTypeError: nobody here reads this type.
        """
        found = self._decodings.get(content_type)
        if found is None:
            found = self._find_decoding(content_type)
            _remember(self._decodings, content_type, found)
        return found

    def part_decoding(self, content_type: str) -> Decoding:
        """Find out how to read a part of a form: what is annotated is the form, not the part.

        What has no type is text if it is that, and bytes stay what nobody here reads.
        """
        name = content_types.parse(content_type).name
        # The stock back end gives the type of the form to fields that have none.
        name = "" if name == content_types.FORM else name
        own = self._own_decoder(name) if name else None
        if own is not None:
            return _own_decoding(own)
        decode = form.reader(name)
        return Decoding(lambda body, header, _context: decode(body, header))

    def reads_whole(self, content_type: str) -> bool:
        """Whether forms of this type are not to be taken apart: the program does it itself."""
        name = content_types.parse(content_type).name
        return self.takes_raw_bodies or _most_specific(self.decoders, name) is not None

    def converted_fields(self, fields: dict[str, Any]) -> Any:
        """Make what the predictor is annotated with of a form that the front end took apart.

        Raises:
            UnprocessableInputError: the fields do not fit.
        """
        if self.takes_raw_bodies:
            message = "The body itself is wanted, not a form; send it with its own Content-Type."
            raise UnprocessableInputError(message)
        convert = self._convert
        if convert is None:
            return fields
        return convert(b"", content_types.MULTIPART, lambda _body, _header: fields)

    def encoding(self, accept: str) -> Encoding:
        """Find out how to write the answer.

        Raises:
            NotAcceptableError: nothing that the client accepts can be written.
        """
        found = self._encodings.get(accept)
        if found is None:
            found = self._find_encoding(accept)
            _remember(self._encodings, accept, found)
        return found

    def input_fn(self, body: Body | str, content_type: str | None, context: Any = None) -> Any:
        """Read a body, in AWS's spelling."""
        given = body.encode() if isinstance(body, str) else body
        return self.decoding(content_type or "").read(given, content_type or "", context)

    def output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """Write a prediction, in AWS's spelling: a body and its content type."""
        encoding = self.encoding(accept)
        result = encoding.write(prediction, encoding.content_type, context)
        return result if isinstance(result, tuple) else (result, encoding.content_type)

    def accepted(self, accept: str) -> str:
        """The concrete type that a transformer should answer with.

        Without a list of what the transformer offers, the client's first concrete type counts.
        """
        ranges = content_types.parse_accept(accept)
        wanted = sorted(
            (-value, index, name) for index, (name, value) in enumerate(ranges) if value
        )
        if not wanted or "*" in wanted[0][2]:
            return self.default_accept
        return wanted[0][2]

    def _find_decoding(self, content_type: str) -> Decoding:
        if not content_type:
            return self._guessed()
        name = content_types.parse(content_type).name
        own = self._own_decoder(name)
        if own is not None:
            return _own_decoding(own)
        decode = self._format(name)
        convert = self._convert
        if convert is None:
            return Decoding(lambda body, header, _context: decode(body, header))
        return Decoding(lambda body, header, _context: convert(body, header, decode))

    def _own_decoder(self, name: str) -> Registration | None:
        return _most_specific(self.decoders, name) or _most_specific(self.fallback_decoders, name)

    def _format(self, name: str) -> type_hints.Decode:
        """The built-in format of a content type.

        Raises:
            UnsupportedMediaTypeError: there is none, and the predictor does not take raw bodies.
        """
        codec = codecs.find(name)
        if codec is not None and codec.decode is not None:
            return codec.decode
        if self.takes_raw_bodies:
            return _no_format
        raise self._unsupported(name)

    def _unsupported(self, name: str) -> UnsupportedMediaTypeError:
        message = (
            f"Content-Type {name[:80]!r} is not supported; send one of: {', '.join(self.readable)}."
        )
        return UnsupportedMediaTypeError(message)

    @property
    def _data_hint(self) -> Any:
        """What a single input of the predictor is annotated with."""
        if self.predicts_as_script:
            return None
        hint = self.predictor.hints.get("data") if self.predictor else None
        if self.batching.max_batch_size > 1 and self.batching.collate == "list":
            return type_hints.item_hint(hint)
        return hint

    @property
    def takes_raw_bodies(self) -> bool:
        """Whether the predictor reads bodies itself, and so takes any content type."""
        return type_hints.is_raw(self._data_hint)

    def check_annotations(self) -> None:
        """Read what the parameters of data and bodies are annotated with.

        Raises:
            RegistrationError: one of them asks for what no body can become, or for a library that
                is not installed.
        """
        with _named("data", self.predictor):
            _ = self._convert
        for found in (*self.decoders, *filter(None, [self.transformer])):
            with _named("body", found.handler):
                body_converter(found)

    @cached_property
    def _convert(self) -> type_hints.Convert | None:
        try:
            return type_hints.find(self._data_hint)
        except RegistrationError:
            # With decoders of its own, a program may make what nothing here can.
            if self.decoders or self.fallback_decoders:
                return self._refuse
            raise

    def _refuse(self, _body: Body, content_type: str, _decode: type_hints.Decode) -> Any:
        raise self._unsupported(content_types.parse(content_type).name)

    def _guessed(self) -> Decoding:
        """Read a body without Content-Type, as batch transform may send it.

        RFC 9110 section 8.3 lets the recipient look: a program with decoders of its own gets it;
        otherwise it is JSON where it begins like an array or an object, else CSV.
        """
        if self.decoders:
            return _own_decoding(self.decoders[0])

        def read(body: Body, _header: str, context: Context) -> Any:
            first = bytes(body[:64]).lstrip()[:1]
            name = content_types.JSON if first in (b"[", b"{") else content_types.CSV
            return self.decoding(name).read(body, name, context)

        return Decoding(read)

    @property
    def has_default(self) -> bool:
        """Whether a client that leaves the choice gets an answer."""
        try:
            return bool(self.encoding("").content_type)
        except NotAcceptableError:
            return False

    def _writes(self, name: str) -> bool:
        """Whether an answer can be of this type."""
        if _most_specific((*self.encoders, *self.fallback_encoders), name) is not None:
            return True
        codec = codecs.find(name)
        return codec is not None and codec.encode is not None

    def _find_encoding(self, accept: str) -> Encoding:
        told = script_functions.accept(accept, self.default_accept)
        encoders = (*self.encoders, *self.fallback_encoders)
        ranges = content_types.parse_accept(accept)
        if all(name == content_types.ANY and value for name, value in ranges):
            accept = self.default_accept
            ranges = content_types.parse_accept(accept)
        named = [name for name, _ in ranges if "*" not in name]
        defaults = content_types.parse_accept(self.default_accept)
        offers = [name for name, _ in defaults if "*" not in name and self._writes(name)]
        offers += [
            name for found in self.encoders for name in found.content_types if "*" not in name
        ]
        offers += [name for name in named if _most_specific(encoders, name) is not None]
        offers += codecs.encodable()
        # An alias such as application/x-ndjson is as good as the name that the codec lists.
        offers += [name for name in named if (alias := codecs.find(name)) and alias.encode]
        # Where nothing concrete will do, an encoder of wildcards finds out what will.
        wildcards = [name for name, _ in ranges if _most_specific(self.encoders, name)]
        chosen = content_types.negotiate(accept, offers)
        chosen = chosen or content_types.negotiate(accept, wildcards)
        own = None
        if chosen:
            own = _most_specific(self.encoders, chosen)
            own = own or _most_specific(self.fallback_encoders, chosen)
        if own and own.is_script:
            call = own.handler.call
            return Encoding(
                lambda prediction, _name, context: call(prediction, told, context),
                script_functions.response_type(told),
                own.handler.is_async,
                own.handler,
                is_script=True,
            )
        if chosen and own:
            return Encoding(own.handler.call, chosen, own.handler.is_async, own.handler)
        codec = codecs.find(chosen) if chosen else None
        if chosen is None or codec is None or codec.encode is None:
            for mend in filter(None, map(codecs.mend, named)):
                get_logger().warning("Accept %.80r cannot be answered: %s", accept, mend)
            message = (
                f"Nothing in Accept {accept[:80]!r} can be produced; "
                f"accept one of: {', '.join(self.writable)}."
            )
            raise NotAcceptableError(message)
        if self.predicts_as_script and chosen in encoder.SUPPORTED_CONTENT_TYPES:
            # Looked up at each call, as AWS's default handler does: containers replace it.
            return Encoding(lambda value, name, _context: encoder.encode(value, name), chosen)
        encode = codec.encode
        return Encoding(lambda prediction, name, _context: encode(prediction, name), chosen)


def assemble(registry: Registry, label: str, fallback: Registry | None = None) -> InferenceHandler:
    """Close the registry and make its program complete.

    Args:
        registry: what the program has registered.
        label: how messages name the program.
        fallback: what a framework brings along; it stands in for whatever the program leaves out.

    Raises:
        StartError: the program that ``label`` names has no model loader, or nothing that predicts.
    """
    registry.close("the program was assembled; serving has begun")

    defaults = fallback or Registry()

    def only(role: Role) -> Registration | None:
        found = registry.find(role) or defaults.find(role)
        return found[0] if found else None

    loader, predictor = only(signatures.MODEL_LOADER), only(signatures.PREDICTOR)
    transformer = only(signatures.TRANSFORMER)
    if transformer is not None:
        # The whole path: what a framework would predict with has no place in it.
        predictor = None
    if loader is None:
        raise StartError(_missing(label, signatures.MODEL_LOADER, "return open(...)"))
    if predictor is None and transformer is None:
        raise StartError(_missing(label, signatures.PREDICTOR, "return model.predict(data)"))
    if environment.is_set(environment.ALLOW_PICKLE_ENV):
        get_logger().warning(
            "%s is on: whoever can send an NPY or NPZ body can run code here",
            environment.ALLOW_PICKLE_ENV,
        )
    encoders = tuple(registry.find(signatures.ENCODER))
    own = [name for found in encoders for name in found.content_types if "*" not in name]
    default = os.environ.get(parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV)

    def handler(found: Registration | None) -> Handler | None:
        return found.handler if found else None

    assembled = InferenceHandler(
        model_loader=loader.handler,
        predictor=handler(predictor),
        transformer=transformer,
        before_load=handler(only(signatures.BEFORE_LOAD)),
        warmup=handler(only(signatures.WARMUP)),
        on_shutdown=handler(only(signatures.ON_SHUTDOWN)),
        batching=_batching(predictor),
        decoders=tuple(registry.find(signatures.DECODER)),
        encoders=encoders,
        default_accept=default or (own[0] if own else content_types.JSON),
        fallback_decoders=tuple(defaults.find(signatures.DECODER)) or _script_decoders(predictor),
        fallback_encoders=tuple(defaults.find(signatures.ENCODER)),
        predicts_as_script=predictor is not None and predictor.is_script,
    )
    try:
        assembled.check_annotations()
    except RegistrationError as error:
        raise StartError(str(error)) from None
    if default and transformer is None and not assembled.has_default:
        message = (
            f"{parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV}={default!r}: nothing here writes it. "
            f"Name one of {', '.join(assembled.writable)}, or register an encoder for it."
        )
        raise StartError(message)
    return assembled


def _batching(predictor: Registration | None) -> Batching:
    """The predictor's numbers; environment variables go before what the decorator says."""
    said = predictor.batching if predictor else Batching()
    size = environment.number(
        environment.MAX_BATCH_SIZE_ENV, said.max_batch_size, "requests", least=1
    )
    delay = environment.number(
        environment.MAX_BATCH_DELAY_ENV, said.max_batch_delay, "seconds", whole=False
    )
    if said.max_batch_size == 1 and size != 1:
        message = (
            f"{environment.MAX_BATCH_SIZE_ENV}={size} asks for batches, but the predictor takes "
            "one request at a time. Write @predictor(max_batch_size=...), and it gets lists."
        )
        raise StartError(message)
    return Batching(
        max_batch_size=int(size or 1),
        max_batch_delay=float(delay or 0),
        collate=said.collate,
        retry_one_by_one=said.retry_one_by_one,
        threads=said.threads,
    )


def _missing(label: str, role: Role, example: str) -> str:
    return (
        f"{label} registers no {role.name}. Add one above serve(__name__):\n"
        f"    @{role.name}\n    def {role.name.split('_')[-1]}({', '.join(role.offers)}):\n"
        f"        {example}"
    )


def _own_first(own: Sequence[Registration], built_in: Sequence[str]) -> tuple[str, ...]:
    names = [name for found in own for name in found.content_types]
    return tuple(dict.fromkeys((*names, *built_in)))


def _most_specific(own: Sequence[Registration], name: str) -> Registration | None:
    for pattern in (name, name.partition("/")[0] + "/*", content_types.ANY):
        for found in own:
            if pattern in found.content_types:
                return found
    return None


def of_functions(
    model_fn: Callable[..., Any] | None,
    transform_fn: Callable[..., Any],
    pre_model_fn: Callable[..., Any] | None = None,
    model_warmup_fn: Callable[..., Any] | None = None,
    default_accept: str | None = None,
) -> InferenceHandler:
    """A program whose whole path is one function of AWS's shape, for containers that bring one.

    Raises:
        RegistrationError: one of them cannot be called with what it is given.
    """

    def handler(role: Role, function: Callable[..., Any] | None) -> Handler | None:
        return Handler.of(role, function) if function else None

    return InferenceHandler(
        model_loader=Handler.of(signatures.MODEL_LOADER, model_fn or (lambda: None)),
        predictor=None,
        transformer=Registration(Handler.of(signatures.TRANSFORMER, transform_fn), is_script=True),
        before_load=handler(signatures.BEFORE_LOAD, pre_model_fn),
        warmup=handler(signatures.WARMUP, model_warmup_fn),
        on_shutdown=None,
        batching=Batching(),
        decoders=(),
        encoders=(),
        default_accept=default_accept or content_types.JSON,
    )


def _script_decoders(predictor: Registration | None) -> tuple[Registration, ...]:
    """What reads for ``predict_fn``: `decoder.decode`, whose shapes existing programs expect."""
    if predictor is None or not predictor.is_script:
        return ()
    reader = Handler.of(signatures.DECODER, DefaultInferenceHandler().default_input_fn)
    types = (content_types.JSON, content_types.CSV, content_types.NPY, content_types.NPZ)
    return (Registration(reader, types, is_script=True),)


@contextlib.contextmanager
def _named(parameter: str, handler: Handler | None) -> Iterator[None]:
    """Say whose annotation it is that is refused."""
    try:
        yield
    except RegistrationError as error:
        message = f"{parameter} of {handler}: {error}"
        raise RegistrationError(message) from None


def _own_decoding(found: Registration) -> Decoding:
    call = found.handler.call
    convert = body_converter(found)
    if found.is_script:
        return Decoding(
            lambda body, header, context: call(
                convert(body, header), script_functions.content_type(header), context
            ),
            found.handler.is_async,
            found.handler,
        )
    return Decoding(
        lambda body, header, context: call(convert(body, header), header, context),
        found.handler.is_async,
        found.handler,
    )


def body_converter(found: Registration) -> Callable[[Body, str], Any]:
    """What turns a body into what this handler takes, by the annotation of its parameter."""
    if found.is_script:
        return script_functions.body
    hint = found.handler.hints.get("body", bytes)
    convert = type_hints.find(hint) or _as_bytes
    names = [name for name in found.content_types if "*" not in name]
    unread = [name for name in names if (codec := codecs.find(name)) is None or not codec.decode]
    if names and unread == names and convert is not _as_bytes and not type_hints.is_raw(hint):
        message = (
            f"no format here reads {unread[0]}, to make of it what the annotation {hint!r} asks "
            "for. Annotate it with bytes or str."
        )
        raise RegistrationError(message)

    def read(body: Body, header: str) -> Any:
        # Without a Content-Type the body is what the decoder says it reads.
        header = header or next((name for name in names if name not in unread), "")
        codec = codecs.find(header)
        decode = codec.decode if codec and codec.decode else _no_format
        return convert(body, header, decode)

    return read


def _as_bytes(body: Body, _header: str, _decode: type_hints.Decode) -> bytes:
    return bytes(body)


def _no_format(_body: Body, header: str) -> Any:
    message = f"Content-Type {header[:80]!r} is not supported, and nothing here reads it."
    raise UnsupportedMediaTypeError(message)


def _remember(known: dict[str, Any], key: str, value: Any) -> None:
    if len(known) < _REMEMBERED and len(key) < _REMEMBERED:
        known[key] = value
