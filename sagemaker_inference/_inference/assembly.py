"""Assemble a registry into the handler that answers requests, or reject an incomplete program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables
from sagemaker_inference._aws import default_predictor
from sagemaker_inference._aws import fallback as aws_fallback
from sagemaker_inference._config import Config
from sagemaker_inference._errors import RegistrationError, StartError
from sagemaker_inference._inference.annotations import as_bytes
from sagemaker_inference._inference.batching import Batcher
from sagemaker_inference._inference.decoding import Decoders, body_converter, naming_parameter
from sagemaker_inference._inference.encoding import Encoders
from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._log import get_logger
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching, Concurrency
from sagemaker_inference._program.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._inference.batch_transform import BatchTransform
    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.roles import Role
    from sagemaker_inference._program.signatures import Handler


def assemble(
    registry: Registry,
    label: str = "the program",
    fallback: Registry | None = None,
    default_accept: str | None = None,
    config: Config | None = None,
) -> InferenceHandler:
    """Close the registry and assemble its program.

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
        raise StartError(_missing(label, roles.MODEL_LOADER, "load", "return open(...)"))
    if predictor is None and transformer is None and loader.is_script:
        # A script's model_fn is enough for AWS's containers, which predict by themselves.
        loader = default_predictor.with_check(loader)
        predictor = default_predictor.registration()
    if predictor is None and transformer is None:
        raise StartError(_missing(label, roles.PREDICTOR, "predict", "return model.predict(data)"))
    config = config or Config.from_environment()
    _warn_about_pickles(config)
    try:
        decoders = parts.decoders(predictor)
        with naming_parameter("body", transformer):
            convert_body = body_converter(transformer) if transformer else as_bytes
    except RegistrationError as error:
        raise StartError(str(error)) from None
    default = default_accept or config.default_accept
    encoders = parts.encoders(predictor, default)
    if default and transformer is None and not encoders.has_default:
        message = (
            f"{_variables.DEFAULT_ACCEPT.name}={default!r} is not supported. Set it to one of "
            f"{', '.join(encoders.writable)}, or register an encoder: @encoder({default!r})"
        )
        raise StartError(message)
    options = _batching(predictor, config)
    is_batched = predictor is not None and options.max_batch_size > 1
    main_handlers = [item.handler for item in (predictor, transformer) if item]
    return InferenceHandler(
        model_loader=loader.handler,
        predictor=_handler(predictor),
        transformer=_handler(transformer),
        transformer_body=convert_body,
        before_load=_handler(parts.only(roles.BEFORE_LOAD)),
        warmup=_handler(parts.only(roles.WARMUP)),
        health_check=parts.only(roles.HEALTH_CHECK),
        on_shutdown=_handler(parts.only(roles.ON_SHUTDOWN)),
        decoders=decoders,
        encoders=encoders,
        batch_transform=_batch_transform(decoders, encoders, transformer, options, config),
        batcher=Batcher(predictor.handler, options) if predictor and is_batched else None,
        concurrency=Concurrency(
            max_batch_size=options.max_batch_size,
            max_batch_delay=options.max_batch_delay,
            threads=options.threads,
            repeats_lost=options.retry_one_by_one,
            is_async=decoders.is_async
            or encoders.is_async
            or any(handler.is_async or handler.yields_async for handler in main_handlers),
        ),
    )


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
        """The handler of a role that has at most one."""
        registrations = self._registry.find(role) or self._defaults.find(role)
        return registrations[0] if registrations else None

    def decoders(self, predictor: Registration | None) -> Decoders:
        """The readers of request bodies.

        Raises:
            RegistrationError: an annotation names a type that no body can be converted to.
        """
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


def _warn_about_pickles(config: Config) -> None:
    if config.allow_pickle:
        get_logger().warning(
            "%s is on: any client that sends an NPY or NPZ body can run code here. Unset it "
            "unless you trust every client",
            _variables.ALLOW_PICKLE.name,
        )


def _batch_transform(
    decoders: Decoders,
    encoders: Encoders,
    transformer: Registration | None,
    options: Batching,
    config: Config,
) -> BatchTransform | None:
    if not config.is_batch:
        return None
    from sagemaker_inference._inference.batch_transform import BatchTransform

    has_placeholders = (config.on_bad_record or options.on_bad_record) == "placeholder"
    if has_placeholders and transformer is not None:
        get_logger().warning(
            "%s=placeholder has no effect: a transformer reads and writes whole bodies, and knows "
            "what to write for a bad record",
            _variables.ON_BAD_RECORD.name,
        )
        has_placeholders = False
    return BatchTransform(decoders, encoders, has_placeholders=has_placeholders)


def _batching(predictor: Registration | None, config: Config) -> Batching:
    """The predictor's options; environment variables override those of the decorator."""
    options = predictor.batching if predictor else Batching()
    size = config.max_batch_size or options.max_batch_size
    delay = config.max_batch_delay
    if options.max_batch_size == 1 and size != 1:
        message = (
            f"{config.max_batch_size_name}={size} enables batches, but the predictor takes one "
            f"request at a time. Write @predictor(max_batch_size={size}) on a predictor that takes "
            "lists, or leave it out."
        )
        raise StartError(message)
    return replace(
        options,
        max_batch_size=size,
        max_batch_delay=options.max_batch_delay if delay is None else delay,
    )


def _missing(label: str, role: Role, name: str, example: str) -> str:
    return (
        f"{label} registers no {role.name}. Add one above serve(__name__):\n"
        f"    @{role.name}\n    def {name}({', '.join(role.arguments)}):\n"
        f"        {example}"
    )
