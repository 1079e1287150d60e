"""What stands in for functions that a program leaves out, as AWS's toolkit has it."""

from __future__ import annotations

from typing import Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._aws import overridable, script_functions
from sagemaker_inference._program import roles
from sagemaker_inference._program.registry import Registration, Registry
from sagemaker_inference._program.signatures import Handler

_READABLE = (content_types.JSON, content_types.CSV, content_types.NPY, content_types.NPZ)


def registry_of(default_handler: object, base: type, default_accept: str | None = None) -> Registry:
    """The functions of a framework's default handler, registered: they back a user's program up.

    Args:
        default_handler: an object with functions named ``default_model_fn`` and so on.
        base: AWS's class of such handlers; what is only inherited from it does not count.
        default_accept: as for `script_functions.adopt`.

    Raises:
        RegistrationError: one of the functions cannot be called with what it is offered.
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


def decoders_of_scripts() -> list[Registration]:
    """What reads bodies for ``predict_fn``: `decoder.decode`, whose shapes programs expect."""
    return [script_functions.registration(roles.DECODER, overridable.decode, _READABLE, "")]


def encoders_of_scripts() -> list[Registration]:
    """What writes the predictions of ``predict_fn``: `encoder.encode`."""
    handler = Handler.from_function(roles.ENCODER, _encode)
    return [Registration(handler, tuple(overridable.encodable()), is_script=True)]


def _encode(prediction: Any, accept: str) -> Any:
    return overridable.encode(prediction, accept)
