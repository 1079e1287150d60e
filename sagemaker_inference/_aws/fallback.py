"""Default handlers for functions that a program does not define, as in AWS's toolkit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._aws import default_predictor, overridable, script_functions
from sagemaker_inference._errors import EncodeError
from sagemaker_inference._program import roles
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.registry import Registry
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.roles import Role

_READABLE = (content_types.JSON, content_types.CSV, content_types.NPY, content_types.NPZ)


def registry_of(default_handler: object, base: type, program: Registry | None = None) -> Registry:
    """Register the functions of a framework's default handler, as defaults for user programs.

    Args:
        default_handler: an object with functions named ``default_model_fn`` and so on.
        base: AWS's base class of such handlers; functions inherited from it are skipped.
        program: the functions of the program; what they replace is neither used nor checked.

    Raises:
        RegistrationError: a function that is used cannot be called with the arguments of its role.
    """
    registry = Registry()
    names = {
        name: role
        for name, role in functions_of(default_handler, base).items()
        if program is None or not _is_replaced(role, program)
    }
    script_functions.adopt(registry, default_handler, names)
    return registry


def functions_of(default_handler: object, base: type) -> dict[str, Role]:
    """The names of the functions of a default handler, with their roles, but not those of AWS's."""
    names = {}
    for name, role in script_functions.SCRIPT_FUNCTIONS.items():
        function = getattr(default_handler, f"default_{name}", None)
        inherited = getattr(base, f"default_{name}", None)
        if function is not None and getattr(function, "__func__", function) is not inherited:
            names[f"default_{name}"] = role
    return names


def complete(registry: Registry, program: Registry, model_loader: Callable[..., Any]) -> Registry:
    """Add what neither the program nor its container defines, so that it can be assembled.

    Containers override ``transform()`` or ``_default_transform_fn()`` and never call the rest: a
    missing function is an error where it is called, as in AWS's toolkit.

    Args:
        registry: the functions of the container.
        program: those of the program.
        model_loader: AWS's, which raises an error.
    """
    if not program.find(roles.MODEL_LOADER) and not registry.find(roles.MODEL_LOADER):
        registry.add(script_functions.registration(roles.MODEL_LOADER, model_loader, (), ""))
    if not registry.find(roles.PREDICTOR) and not registry.find(roles.TRANSFORMER):
        registry.add(default_predictor.registration())
    return registry


def _is_replaced(role: Role, program: Registry) -> bool:
    """Whether the program has this role to itself."""
    steps = (roles.DECODER, roles.PREDICTOR, roles.ENCODER)
    if role in steps and _of_invocations(roles.TRANSFORMER, program):
        return True
    registrations = _of_invocations(role, program)
    if role in (roles.DECODER, roles.ENCODER):
        # Decorated functions leave the types that they do not name.
        return any(content_types.ANY in item.content_types for item in registrations)
    return bool(registrations)


def _of_invocations(role: Role, program: Registry) -> list[Registration]:
    """The handlers of a role, but for those of further paths, which containers know nothing of."""
    return [item for item in program.find(role) if item.path == INVOCATIONS]


def script_decoders() -> list[Registration]:
    """The decoder for ``predict_fn``: `decoder.decode`, whose shapes programs expect."""
    return [script_functions.registration(roles.DECODER, overridable.decode, _READABLE, "")]


def script_encoders() -> list[Registration]:
    """The encoder for ``predict_fn``: `encoder.encode`."""
    handler = Handler.from_function(roles.ENCODER, _encode)
    return [Registration(handler, tuple(overridable.encodable()), is_script=True)]


def _encode(prediction: Any, accept: str) -> Any:
    try:
        return overridable.encode(prediction, accept)
    except EncodeError:
        # A dict, say, where the client accepts CSV or NPY: JSON is more useful to it than a 500.
        if accept == content_types.JSON:
            raise
        return overridable.encode(prediction, content_types.JSON), content_types.JSON
