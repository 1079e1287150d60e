"""Default handlers for functions that a program does not define, as in AWS's toolkit."""

from __future__ import annotations

from typing import Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._aws import overridable, script_functions
from sagemaker_inference._program import roles
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.registry import Registry
from sagemaker_inference._program.signatures import Handler

_READABLE = (content_types.JSON, content_types.CSV, content_types.NPY, content_types.NPZ)


def registry_of(default_handler: object, base: type, default_accept: str | None = None) -> Registry:
    """Register the functions of a framework's default handler, as defaults for user programs.

    Args:
        default_handler: an object with functions named ``default_model_fn`` and so on.
        base: AWS's base class of such handlers; functions inherited from it are skipped.
        default_accept: as for `script_functions.adopt`.

    Raises:
        RegistrationError: a function cannot be called with the arguments of its role.
    """
    registry = Registry()
    names = {}
    for name, role in script_functions.SCRIPT_FUNCTIONS.items():
        function = getattr(default_handler, f"default_{name}", None)
        inherited = getattr(base, f"default_{name}", None)
        if function is not None and getattr(function, "__func__", function) is not inherited:
            names[f"default_{name}"] = role
    script_functions.adopt(registry, default_handler, names, default_accept)
    return registry


def script_decoders() -> list[Registration]:
    """The decoder for ``predict_fn``: `decoder.decode`, whose shapes programs expect."""
    return [script_functions.registration(roles.DECODER, overridable.decode, _READABLE, "")]


def script_encoders() -> list[Registration]:
    """The encoder for ``predict_fn``: `encoder.encode`."""
    handler = Handler.from_function(roles.ENCODER, _encode)
    return [Registration(handler, tuple(overridable.encodable()), is_script=True)]


def _encode(prediction: Any, accept: str) -> Any:
    return overridable.encode(prediction, accept)
