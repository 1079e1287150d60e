"""Assemble a registry into the handler that answers requests, or reject an incomplete program."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables
from sagemaker_inference._aws import default_predictor
from sagemaker_inference._aws import fallback as aws_fallback
from sagemaker_inference._config import Config
from sagemaker_inference._errors import (
    GenericInferenceToolkitError,
    RegistrationError,
    StartError,
)
from sagemaker_inference._inference import path_options as batching
from sagemaker_inference._inference.annotations import as_bytes, has_no_rows
from sagemaker_inference._inference.annotations.files import mentions_files
from sagemaker_inference._inference.annotations.returned import with_check
from sagemaker_inference._inference.batch_streams import StreamBatcher
from sagemaker_inference._inference.batching import Batcher
from sagemaker_inference._inference.decoding import Decoders, body_converter, naming_parameter
from sagemaker_inference._inference.encoding import Encoders
from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._inference.paths import HandlerOfPaths
from sagemaker_inference._log import get_logger
from sagemaker_inference._os.spool import Spool
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.paths import INVOCATIONS, is_openai
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.registry import Registry
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagemaker_inference._inference.batch_transform import BatchTransform
    from sagemaker_inference._inference.sessions import Sessions
    from sagemaker_inference._program.roles import Role


def assemble(
    registry: Registry,
    label: str = "the program",
    fallback: Registry | None = None,
    default_accept: str | None = None,
    config: Config | None = None,
) -> InferenceHandler:
    """Close the registry and assemble its program.

    >>> from sagemaker_inference import Registry, Request
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: 2)
    >>> double = registry.predictor(lambda data, model: data * model)
    >>> handler = assemble(registry)
    >>> handler.load(".")
    >>> import asyncio
    >>> [response] = asyncio.run(handler.answer([Request.from_body(b"[1, 2]", "application/json")]))
    >>> response.body
    b'[2,4]'

    Args:
        registry: the handlers of the program.
        label: the program's name in messages.
        fallback: the handlers of a framework, for roles that the program does not define.
        default_accept: the content type of the response if the client accepts anything; by default
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, else the first type of the program's encoders,
            else JSON.
        config: the settings; by default those of the environment.

    Raises:
        StartError: the program has no model loader, or neither predictor nor transformer; an
            annotation names a type that no body can be converted to; or nothing writes the default
            content type.
    """
    registry.close("the program was assembled")
    parts = _Parts(registry, fallback or Registry())
    loader, predictor = parts.only(roles.MODEL_LOADER), parts.only(roles.PREDICTOR)
    transformer = parts.only(roles.TRANSFORMER)
    if transformer is not None:
        # A transformer also replaces the predictor of a framework.
        predictor = None
    if loader is None:
        raise StartError(_missing_loader(label, registry))
    sockets = registry.find(roles.BIDIRECTIONAL)
    if predictor is None and transformer is None and loader.is_script:
        # A script's model_fn is enough for AWS's containers, which predict by themselves.
        loader = default_predictor.with_check(loader)
        predictor = default_predictor.registration()
    further = parts.further()
    if predictor is None and transformer is None and sockets and not further:
        transformer = _without_predictor(sockets)
    if predictor is None and transformer is None and not further:
        raise StartError(_missing(label, roles.PREDICTOR, "predict", "return model.predict(data)"))
    config = config or Config.from_environment()
    _warn_about_pickles(config)
    default = default_accept or config.default_accept
    encoders = parts.encoders(predictor, default)
    is_encoded = transformer is None or any(
        item.handler.role is roles.PREDICTOR for item in further
    )
    if default and is_encoded and not encoders.has_default:
        message = (
            f"{_variables.DEFAULT_ACCEPT.name}={default!r} is not supported. Set it to one of "
            f"{', '.join(encoders.writable)}, or register an encoder: @encoder({default!r})"
        )
        raise StartError(message)
    start, end = _handler(parts.only(roles.SESSION_START)), _handler(parts.only(roles.SESSION_END))
    hooks = [handler for handler in (start, end) if handler]
    predictor, *further = map(_with_check, (predictor, *further))
    mains = [item for item in (predictor, transformer) if item]
    options = batching.options([*mains, *further], config)
    _check_sockets(sockets, [*mains, *further], options)
    try:
        shared: dict[str, Any] = {
            "model_loader": loader.handler,
            "before_load": _handler(parts.only(roles.BEFORE_LOAD)),
            "warmup": _handler(parts.only(roles.WARMUP)),
            "health_check": parts.only(roles.HEALTH_CHECK),
            "on_shutdown": _handler(parts.only(roles.ON_SHUTDOWN)),
            "folders": parts.folders([*mains, *further]),
            "concurrency": batching.concurrency(
                [*mains, *further],
                options,
                config,
                are_others_async=parts.are_codecs_async or any(item.is_async for item in hooks),
                has_sockets=bool(sockets),
            ),
        }
        in_loop = shared["concurrency"].is_async
        batcher = partial(_batcher, options=options, in_loop=in_loop)
        main = _of_path(parts, encoders, predictor, transformer, batcher)
        job = _batch_transform(main, options.get(INVOCATIONS, Batching()), config)
        # Of the program: a session goes on on all its paths.
        sessions = _sessions(start, end, config)
        if not further:
            return InferenceHandler(
                **shared, **main, batch_transform=job, sessions=sessions, sockets=sockets
            )
        handlers = {item.path: _further(parts, encoders, item, batcher, shared) for item in further}
    except RegistrationError as error:
        raise StartError(str(error)) from None
    return HandlerOfPaths(
        handlers, **shared, **main, batch_transform=job, sessions=sessions, sockets=sockets
    )


def _with_check(item: Any) -> Any:
    """A registration, if there is one; predictions are checked where it says what they are."""
    return with_check(item) if item and item.handler.role is roles.PREDICTOR else item


def _of_path(
    parts: _Parts,
    encoders: Encoders,
    predictor: Registration | None,
    transformer: Registration | None,
    batcher: Callable[[Registration | None], Batcher | None],
) -> dict[str, Any]:
    """What differs between the handlers of two paths.

    Raises:
        RegistrationError: an annotation names a type that no body can be converted to.
    """
    with naming_parameter("body", transformer):
        convert_body = body_converter(transformer) if transformer else as_bytes
    return {
        "predictor": _handler(predictor),
        "transformer": _handler(transformer),
        "transformer_body": convert_body,
        "decoders": parts.decoders(predictor),
        "encoders": encoders,
        "batcher": batcher(predictor),
    }


def _further(
    parts: _Parts,
    encoders: Encoders,
    registration: Registration,
    batcher: Callable[[Registration | None], Batcher | None],
    shared: Mapping[str, Any],
) -> InferenceHandler:
    """The handler of a further path."""
    is_predictor = registration.handler.role is roles.PREDICTOR
    predictor, transformer = (registration, None) if is_predictor else (None, registration)
    own = _of_path(parts, encoders, predictor, transformer, batcher)
    if not is_openai(registration.path):
        return InferenceHandler(**shared, **own, batch_transform=None)
    from sagemaker_inference._inference.openai import OpenAIEncoders, OpenAIHandler

    own["encoders"] = OpenAIEncoders(
        encoders.registered,
        encoders.fallback,
        encoders.default_accept,
        is_chosen=encoders.is_chosen,
    )
    return OpenAIHandler(**shared, **own, batch_transform=None)


def _without_predictor(sockets: Sequence[Registration]) -> Registration:
    """What answers ``/invocations`` where a program has bidirectional handlers only."""
    paths = ", ".join(item.socket.path for item in sockets if item.socket)

    def refuse(_model: Any, _body: Any) -> None:
        message = f"This program has no predictor. It has WebSockets at {paths}"
        raise GenericInferenceToolkitError(HTTPStatus.NOT_FOUND, message)

    return Registration(Handler.from_function(roles.TRANSFORMER, refuse))


def _check_sockets(
    sockets: Sequence[Registration],
    predictors: Sequence[Registration],
    options: Mapping[str, Batching],
) -> None:
    for item in predictors if sockets else ():
        if max(options[item.path].threads, options[item.path].max_batch_size) > 1:
            message = (
                f"@bidirectional on {sockets[0].handler} has the program run in an event loop, "
                f"where the predictor {item.handler} cannot have threads or max_batch_size. Remove "
                "them, or serve the two as two programs."
            )
            raise StartError(message)


class _Parts:
    """The handlers of a program, and those of a framework for the roles it does not define.

    Args:
        registry: the registry of the program.
        defaults: the registry of the framework.
    """

    def __init__(self, registry: Registry, defaults: Registry) -> None:
        self._registry = registry
        self._defaults = defaults

    def only(self, role: Role) -> Registration | None:
        """The handler of a role that has at most one, or the one of ``/invocations``."""
        for registry in (self._registry, self._defaults):
            for registration in registry.find(role):
                if registration.path == INVOCATIONS:
                    return registration
        return None

    def further(self) -> list[Registration]:
        """The predictors and transformers of further paths."""
        both = (*self._registry.find(roles.PREDICTOR), *self._registry.find(roles.TRANSFORMER))
        return [item for item in both if item.path != INVOCATIONS]

    @property
    def are_codecs_async(self) -> bool:
        """Whether one of the program's decoders or encoders is async."""
        both = (*self._registry.find(roles.DECODER), *self._registry.find(roles.ENCODER))
        return any(item.handler.is_async for item in both)

    def folders(self, mains: Sequence[Registration]) -> Spool | None:
        """Where the files of requests are written; None where no annotation asks for files."""
        decoders = (*self._registry.find(roles.DECODER), *self._defaults.find(roles.DECODER))
        hints = [hint for item in (*mains, *decoders) for hint in item.handler.hints.values()]
        return Spool() if any(map(mentions_files, hints)) else None

    def decoders(self, predictor: Registration | None) -> Decoders:
        """The readers of request bodies.

        Raises:
            RegistrationError: an annotation names a type that no body can be converted to, or
                inputs that cannot be stacked are to be.
        """
        if predictor is not None:
            with naming_parameter("data", predictor):
                _require_rows(predictor)
        fallback: Sequence[Registration] = self._defaults.find(roles.DECODER)
        if not fallback and predictor is not None and predictor.is_script:
            fallback = aws_fallback.script_decoders()
        return Decoders(self._registry.find(roles.DECODER), fallback, predictor)

    def encoders(self, predictor: Registration | None, default_accept: str | None) -> Encoders:
        """The writers of response bodies."""
        registered = self._registry.find(roles.ENCODER)
        fallback: Sequence[Registration] = self._defaults.find(roles.ENCODER)
        if not fallback and predictor is not None and predictor.is_script:
            fallback = aws_fallback.script_encoders()
        types = [name for item in registered for name in item.content_types if "*" not in name]
        default = default_accept or (types[0] if types else content_types.JSON)
        is_chosen = default_accept is not None
        return Encoders(registered, fallback, default, is_chosen=is_chosen)


def _handler(registration: Registration | None) -> Handler | None:
    return registration.handler if registration else None


def _sessions(start: Handler | None, end: Handler | None, config: Config) -> Sessions | None:
    if start is None and not config.sessions:
        return None
    from sagemaker_inference._inference.sessions import Sessions

    return Sessions(start, end, config)


def _warn_about_pickles(config: Config) -> None:
    if config.allow_pickle:
        get_logger().warning(
            "%s is on: any client that sends an NPY or NPZ body can run code here. Unset it "
            "unless you trust every client",
            _variables.ALLOW_PICKLE.name,
        )


def _batch_transform(
    main: Mapping[str, Any], options: Batching, config: Config
) -> BatchTransform | None:
    if not config.is_batch:
        return None
    from sagemaker_inference._inference.batch_transform import BatchTransform

    has_placeholders = (config.on_bad_record or options.on_bad_record) == "placeholder"
    if has_placeholders and main["transformer"] is not None:
        get_logger().warning(
            "%s=placeholder has no effect: a transformer reads and writes whole bodies, and knows "
            "what to write for a bad record",
            _variables.ON_BAD_RECORD.name,
        )
        has_placeholders = False
    return BatchTransform(main["decoders"], main["encoders"], has_placeholders=has_placeholders)


def _batcher(
    predictor: Registration | None, *, options: Mapping[str, Batching], in_loop: bool
) -> Batcher | None:
    if predictor is None or options[predictor.path].max_batch_size == 1:
        return None
    handler, own = predictor.handler, options[predictor.path]
    if handler.yields or handler.yields_async:
        return StreamBatcher(handler, own, in_loop=in_loop)
    return Batcher(handler, own)


def _missing_loader(label: str, registry: Registry) -> str:
    example = "return open(...)"
    others = (roles.PREDICTOR, roles.TRANSFORMER, roles.DECODER, roles.ENCODER)
    if any(item.is_script for role in others for item in registry.find(role)):
        # Its author knows functions by their names, and no decorators.
        return (
            f"{label} has no model_fn, which loads the model. Add one:\n"
            f"    def model_fn(model_dir):\n        {example}"
        )
    return _missing(label, roles.MODEL_LOADER, "load", example)


def _missing(label: str, role: Role, name: str, example: str) -> str:
    return (
        f"{label} registers no {role.name}. Add one above serve(__name__):\n"
        f"    @{role.name}\n    def {name}({', '.join(role.arguments)}):\n"
        f"        {example}"
    )


def _require_rows(predictor: Registration) -> None:
    options, hint = predictor.batching, predictor.handler.hints.get("data")
    if options.max_batch_size > 1 and options.collate == "concatenate" and has_no_rows(hint):
        message = (
            f'collate="concatenate" stacks the rows of inputs, and {hint!r} has none. Remove '
            "collate: the predictor then gets a list of inputs, and returns one of predictions."
        )
        raise RegistrationError(message)
