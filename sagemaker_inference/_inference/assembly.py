"""From a registry to the handler that answers requests: here a program is complete, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sagemaker_inference import _config
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._aws import fallback as aws_fallback
from sagemaker_inference._config import Config
from sagemaker_inference._errors import RegistrationError, StartError
from sagemaker_inference._inference.annotations import as_bytes
from sagemaker_inference._inference.batching import Batcher
from sagemaker_inference._inference.decoding import Decoders, body_converter, named
from sagemaker_inference._inference.encoding import Encoders
from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._log import get_logger
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching, Concurrency
from sagemaker_inference._program.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._program.registry import Registration
    from sagemaker_inference._program.roles import Role
    from sagemaker_inference._program.signatures import Handler


def assemble(
    registry: Registry,
    label: str = "the program",
    fallback: Registry | None = None,
    default_accept: str | None = None,
    config: Config | None = None,
) -> InferenceHandler:
    """Close the registry and make its program complete.

    Args:
        registry: what the program has registered.
        label: how messages name the program.
        fallback: what a framework brings along; it stands in for what the program leaves out.
        default_accept: what to answer with where the client leaves the choice; by default what
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT says, else the first type of the program's own
            encoders, else JSON.
        config: what the environment says; read from it when left out.

    Raises:
        StartError: the program has no model loader or nothing that predicts, an annotation asks
            for what no body can become, or nothing writes the default answer.
    """
    registry.close("the program was assembled; serving has begun")
    parts = _Parts(registry, fallback or Registry())
    loader, predictor = parts.only(roles.MODEL_LOADER), parts.only(roles.PREDICTOR)
    transformer = parts.only(roles.TRANSFORMER)
    if transformer is not None:
        # The whole path: what a framework would predict with has no place in it.
        predictor = None
    if loader is None:
        raise StartError(_missing(label, roles.MODEL_LOADER, "return open(...)"))
    if predictor is None and transformer is None:
        raise StartError(_missing(label, roles.PREDICTOR, "return model.predict(data)"))
    config = config or Config.from_environment()
    _warn_of_pickles(config)
    try:
        decoders = parts.decoders(predictor)
        with named("body", transformer):
            convert_body = body_converter(transformer) if transformer else as_bytes
    except RegistrationError as error:
        raise StartError(str(error)) from None
    default = default_accept or config.default_accept
    encoders = parts.encoders(predictor, default)
    if default and transformer is None and not encoders.has_default:
        message = (
            f"{_config.DEFAULT_ACCEPT.name}={default!r}: nothing here writes it. "
            f"Name one of {', '.join(encoders.writable)}, or register an encoder for it."
        )
        raise StartError(message)
    options = _batching(predictor, config)
    is_batched = predictor is not None and options.max_batch_size > 1
    roles_used = [found.handler for found in (predictor, transformer) if found]
    return InferenceHandler(
        model_loader=loader.handler,
        predictor=_handler(predictor),
        transformer=_handler(transformer),
        transformer_body=convert_body,
        before_load=_handler(parts.only(roles.BEFORE_LOAD)),
        warmup=_handler(parts.only(roles.WARMUP)),
        on_shutdown=_handler(parts.only(roles.ON_SHUTDOWN)),
        decoders=decoders,
        encoders=encoders,
        batcher=Batcher(predictor.handler, options) if predictor and is_batched else None,
        concurrency=Concurrency(
            max_batch_size=options.max_batch_size,
            max_batch_delay=options.max_batch_delay,
            threads=options.threads,
            is_async=decoders.is_async
            or encoders.is_async
            or any(handler.is_async for handler in roles_used),
        ),
    )


class _Parts:
    """What a program has registered, and what stands in for the rest.

    Args:
        registry: the program's.
        defaults: a framework's.
    """

    def __init__(self, registry: Registry, defaults: Registry) -> None:
        self._registry = registry
        self._defaults = defaults

    def only(self, role: Role) -> Registration | None:
        """The handler of a role that has at most one."""
        found = self._registry.find(role) or self._defaults.find(role)
        return found[0] if found else None

    def decoders(self, predictor: Registration | None) -> Decoders:
        """What reads bodies.

        Raises:
            RegistrationError: an annotation asks for what no body can become.
        """
        fallback: Sequence[Registration] = self._defaults.find(roles.DECODER)
        if not fallback and predictor is not None and predictor.is_script:
            fallback = aws_fallback.decoders_of_scripts()
        return Decoders(self._registry.find(roles.DECODER), fallback, predictor)

    def encoders(self, predictor: Registration | None, default_accept: str | None) -> Encoders:
        """What writes answers."""
        own = self._registry.find(roles.ENCODER)
        fallback: Sequence[Registration] = self._defaults.find(roles.ENCODER)
        if not fallback and predictor is not None and predictor.is_script:
            fallback = aws_fallback.encoders_of_scripts()
        types = [name for found in own for name in found.content_types if "*" not in name]
        default = default_accept or (types[0] if types else content_types.JSON)
        return Encoders(own, fallback, default)


def _handler(registration: Registration | None) -> Handler | None:
    return registration.handler if registration else None


def _warn_of_pickles(config: Config) -> None:
    if config.allow_pickle:
        get_logger().warning(
            "%s is on: whoever can send an NPY or NPZ body can run code here",
            _config.ALLOW_PICKLE.name,
        )


def _batching(predictor: Registration | None, config: Config) -> Batching:
    """The predictor's options; environment variables override what the decorator says."""
    options = predictor.batching if predictor else Batching()
    size = config.max_batch_size or options.max_batch_size
    delay = config.max_batch_delay
    if options.max_batch_size == 1 and size != 1:
        message = (
            f"{_config.MAX_BATCH_SIZE.name}={size} asks for batches, but the predictor takes "
            "one request at a time. Write @predictor(max_batch_size=...), and it gets lists."
        )
        raise StartError(message)
    return replace(
        options,
        max_batch_size=size,
        max_batch_delay=options.max_batch_delay if delay is None else delay,
    )


def _missing(label: str, role: Role, example: str) -> str:
    return (
        f"{label} registers no {role.name}. Add one above serve(__name__):\n"
        f"    @{role.name}\n    def {role.name.split('_')[-1]}({', '.join(role.arguments)}):\n"
        f"        {example}"
    )
