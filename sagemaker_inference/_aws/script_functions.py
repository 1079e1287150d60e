"""AWS's script functions: ``model_fn``, ``input_fn``, ``predict_fn``, ``output_fn`` and so on.

Each is adapted once, when it is registered, to the calling shape of its decorated sibling; after
that, nothing asks whether a handler is a script function.

Existing programs compare the content types they are passed with ``"application/json"``, or look in
them for a parameter of their own (``application/json;verbose``, ``text/csv; label_size=0``). So
what this package has dealt with is taken out (case, charset, quality, wildcards), and everything
else stays in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _config, codecs
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import NotAcceptableError, UnsupportedFormatError
from sagemaker_inference._program import roles
from sagemaker_inference._program.registry import Registration
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._program.registry import Registry
    from sagemaker_inference._program.roles import Role
    from sagemaker_inference.codecs import Body

# AWS's toolkit looks for these names in inference.py.
SCRIPT_FUNCTIONS: Final[dict[str, Role]] = {
    "model_fn": roles.MODEL_LOADER,
    "input_fn": roles.DECODER,
    "predict_fn": roles.PREDICTOR,
    "output_fn": roles.ENCODER,
    "transform_fn": roles.TRANSFORMER,
    "pre_model_fn": roles.BEFORE_LOAD,
    "model_warmup_fn": roles.WARMUP,
}

_ITEM: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
# What the functions of AWS's toolkit write; the first stands for "anything".
_WRITABLE: Final = (content_types.JSON, content_types.CSV, content_types.NPY)
_BYTES: Final = (bytes, bytearray, memoryview)


def adopt(
    registry: Registry,
    owner: object,
    names: Mapping[str, Role] = SCRIPT_FUNCTIONS,
    default_accept: str | None = None,
) -> None:
    """Register the script functions that a module defines.

    Args:
        registry: where to register them.
        owner: the module, or a framework's handler.
        names: what to look for, and the role it has.
        default_accept: the content type to answer with where the client leaves the choice; by
            default what SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT says, or JSON.

    Raises:
        RegistrationError: one of them clashes with a decorated function.
    """
    default = default_accept or _config.DEFAULT_ACCEPT.text or content_types.JSON
    for name, role in names.items():
        function = getattr(owner, name, None)
        if function is None or any(
            registration.handler.function is function for registration in registry.find(role)
        ):
            continue
        types = (content_types.ANY,) if role in (roles.DECODER, roles.ENCODER) else ()
        registry.add(registration(role, function, types, default))


def registration(
    role: Role, function: Callable[..., Any], types: Sequence[str], default_accept: str
) -> Registration:
    """A script function as a handler of its role, whose annotations say nothing about its input.

    Raises:
        RegistrationError: it cannot be called with what its role is offered.
    """
    handler = Handler.from_function(role, function)
    call = handler.call
    # What it gets is made of the body here; without a copy until then.
    hints: dict[str, Any] = {"body": memoryview}
    if role is roles.DECODER:
        call = _reading(call)
    elif role is roles.ENCODER:
        call = _writing(call, default_accept, is_async=handler.is_async)
    elif role is roles.TRANSFORMER:
        call = _transforming(call, default_accept, is_async=handler.is_async)
    return Registration(replace(handler, call=call, hints=hints), tuple(types), is_script=True)


def _reading(call: Callable[..., Any]) -> Callable[..., Any]:
    def read_with_input_fn(body: Body, header: str, context: Context) -> Any:
        return call(body_of(body, header), content_type(header), context)

    return read_with_input_fn


def _writing(
    call: Callable[..., Any], default_accept: str, *, is_async: bool
) -> Callable[..., Any]:
    def write_with_output_fn(prediction: Any, _content_type: str, context: Context) -> Any:
        wanted = accept(context.accept, default_accept)
        return _reply(call(prediction, wanted, context), wanted)

    async def await_output_fn(prediction: Any, _content_type: str, context: Context) -> Any:
        wanted = accept(context.accept, default_accept)
        return _reply(await call(prediction, wanted, context), wanted)

    return await_output_fn if is_async else write_with_output_fn


def _transforming(
    call: Callable[..., Any], default_accept: str, *, is_async: bool
) -> Callable[..., Any]:
    def offers(model: Any, body: Body, header: str, context: Context) -> tuple[Any, ...]:
        wanted = accept(context.accept, default_accept)
        return model, body_of(body, header), content_type(header), wanted, context

    def transform_with_transform_fn(
        model: Any, body: Body, header: str, _accept: str, context: Context
    ) -> Any:
        offered = offers(model, body, header, context)
        try:
            return _reply(call(*offered), offered[3])
        except UnsupportedFormatError as error:
            raise _of_its_end(error, offered[3]) from None

    async def await_transform_fn(
        model: Any, body: Body, header: str, _accept: str, context: Context
    ) -> Any:
        offered = offers(model, body, header, context)
        try:
            return _reply(await call(*offered), offered[3])
        except UnsupportedFormatError as error:
            raise _of_its_end(error, offered[3]) from None

    return await_transform_fn if is_async else transform_with_transform_fn


def _of_its_end(error: UnsupportedFormatError, wanted: str) -> Exception:
    """AWS's toolkit has one class for both ends of the path; it knows which type was meant."""
    return NotAcceptableError(error.message) if error.content_type == wanted else error


def _reply(result: Any, wanted: str) -> tuple[Any, str]:
    """The body and content type of what a script function returned.

    Multi Model Server writes values other than text and bytes as JSON, whatever type they came
    with.
    """
    kind = response_type(wanted)
    if isinstance(result, tuple):
        result, other = result
        kind = other or kind
    if not isinstance(result, (str, *_BYTES)):
        codec = codecs.for_content_type(kind)
        if codec is None or codec.encode is None:
            kind, codec = content_types.JSON, codecs.for_content_type(content_types.JSON)
        result = codec.encode(result, kind) if codec and codec.encode else result
    return result, kind


def body_of(body: Body, header: str) -> str | Body:
    """JSON and CSV as str, anything else as bytes.

    Raises:
        DecodeError: it is not in the charset that the header names.
    """
    if content_types.parse(header).name in content_types.UTF8_TYPES:
        return _charset.text(body, header)
    return bytearray(body)


def content_type(header: str) -> str | None:
    """The Content-Type that a script function gets; None where the client sent none."""
    if not header.strip():
        return None
    name, *parameters = header.split(";")
    name = name.strip().lower()
    if name in content_types.UTF8_TYPES:
        # Its charset was honoured when the body became str.
        parameters = _without(parameters, "charset")
    return ";".join([name, *parameters])


def preferences(header: str) -> list[str]:
    """The types of an Accept header, the most wanted first, without quality and charset."""
    found: list[tuple[float, str]] = []
    for item in _ITEM.findall(header):
        ranges = content_types.parse_accept(item)
        if not ranges or ranges[0][1] == 0:
            continue
        parameters = _without(item.split(";")[1:], "q", "charset")
        found.append((-ranges[0][1], ";".join([ranges[0][0], *parameters])))
    found.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(text for _, text in found))


@lru_cache(maxsize=256)
def accept(header: str, default: str) -> str:
    """The Accept header that a script function gets: what is wanted, the most wanted first.

    Args:
        header: what the client sent.
        default: what to answer with where the client leaves the choice.
    """
    told: list[str] = []
    for text in preferences(header):
        offers = (default, *_WRITABLE) if text != content_types.ANY else (default,)
        told += [name for name in offers if content_types.matches(text, name)] or [text]
    return ",".join(dict.fromkeys(told)) or default


@lru_cache(maxsize=256)
def response_type(wanted: str) -> str:
    """The type of an answer whose function does not say: the first that AWS's toolkit writes."""
    names = [content_types.parse(text).name for text in wanted.split(",")]
    return next((name for name in names if name in _WRITABLE), names[0])


def _without(parameters: Sequence[str], *names: str) -> list[str]:
    return [text for text in parameters if text.partition("=")[0].strip().lower() not in names]
