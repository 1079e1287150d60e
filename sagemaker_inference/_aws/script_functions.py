"""AWS's script functions: ``model_fn``, ``input_fn``, ``predict_fn``, ``output_fn`` and so on.

Each is adapted, when it is registered, to the calling shape of its decorated sibling; after that,
nothing asks whether a handler is a script function.

Existing programs compare the content types they are passed with ``"application/json"``, or look for
their own parameters (``application/json;verbose``, ``text/csv; label_size=0``). So what this
package has handled is removed (case, charset, quality, wildcards), and the rest is kept.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, get_origin, is_typeddict

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables, codecs
from sagemaker_inference._errors import EncodeError, NotAcceptableError, UnsupportedFormatError
from sagemaker_inference._program import roles
from sagemaker_inference._program.registration import Registration
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
# The types that AWS's toolkit writes; the first is the default.
_WRITABLE: Final = (content_types.JSON, content_types.CSV, content_types.NPY)
_BYTES: Final = (bytes, bytearray, memoryview)


def adopt(
    registry: Registry,
    owner: object,
    names: Mapping[str, Role] = SCRIPT_FUNCTIONS,
    default_accept: str | None = None,
) -> None:
    """Register the script functions of a module.

    Args:
        registry: the registry to add them to.
        owner: the module, or the default handler of a framework.
        names: the names of the functions with their roles.
        default_accept: the content type of the response if the client accepts anything; by default
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, else JSON.

    Raises:
        RegistrationError: one of them conflicts with a decorated function, or cannot be called
            with the arguments of its role.
    """
    default = default_accept or _variables.DEFAULT_ACCEPT.text or content_types.JSON
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
    """A script function as a handler of its role.

    Its annotations do not choose its input, as under AWS's toolkit, which decodes JSON to arrays.
    But where the data are annotated as a dict, a JSON object is one, and no array that holds it.

    Raises:
        RegistrationError: it cannot be called with the arguments of its role.
    """
    handler = Handler.from_function(role, function)
    call = handler.call
    if role is roles.PREDICTOR:
        call = _with_dicts(call, handler.hints.get("data"))
    # The adapters below convert the body; a memoryview avoids a copy before that.
    hints: dict[str, Any] = {"body": memoryview}
    if role is roles.DECODER:
        call = _reading(call)
    elif role is roles.ENCODER:
        call = _writing(call, default_accept, is_async=handler.is_async)
    elif role is roles.TRANSFORMER:
        call = _transforming(call, default_accept, is_async=handler.is_async)
    elif role is roles.WARMUP:
        call = _warming_up(call, is_async=handler.is_async)
    return Registration(replace(handler, call=call, hints=hints), tuple(types), is_script=True)


def _with_dicts(call: Callable[..., Any], hint: Any) -> Callable[..., Any]:
    """Call with a dict, where the data are annotated so, in place of an array that holds one."""
    kind = get_origin(hint) or hint
    if kind is not dict and not is_typeddict(kind):
        return call

    def predict_with_dicts(data: Any, model: Any, context: Context) -> Any:
        holds_one = getattr(data, "shape", None) == () and data.dtype.hasobject
        return call(data.item() if holds_one else data, model, context)

    return predict_with_dicts


def _warming_up(call: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """Call and return nothing: AWS's toolkit ignores the result, which is not an example."""

    def warm_up(model_dir: str, model: Any, context: Context) -> None:
        call(model_dir, model, context)

    async def await_warm_up(model_dir: str, model: Any, context: Context) -> None:
        await call(model_dir, model, context)

    return await_warm_up if is_async else warm_up


def _reading(call: Callable[..., Any]) -> Callable[..., Any]:
    def read_with_input_fn(body: Body, header: str, context: Context) -> Any:
        return call(convert_body(body, header), content_type(header), context)

    return read_with_input_fn


def _writing(
    call: Callable[..., Any], default_accept: str, *, is_async: bool
) -> Callable[..., Any]:
    def write_with_output_fn(prediction: Any, _content_type: str, context: Context) -> Any:
        accepted = accept(context.accept, default_accept)
        return _body_and_type(call(prediction, accepted, context), accepted)

    async def await_output_fn(prediction: Any, _content_type: str, context: Context) -> Any:
        accepted = accept(context.accept, default_accept)
        return _body_and_type(await call(prediction, accepted, context), accepted)

    return await_output_fn if is_async else write_with_output_fn


def _transforming(
    call: Callable[..., Any], default_accept: str, *, is_async: bool
) -> Callable[..., Any]:
    def transform_with_transform_fn(
        model: Any, body: Body, header: str, _accept: str, context: Context
    ) -> Any:
        accepted = accept(context.accept, default_accept)
        data = convert_body(body, header)
        try:
            result = call(model, data, content_type(header), accepted, context)
            return _body_and_type(result, accepted)
        except UnsupportedFormatError as error:
            raise _request_or_response_error(error, accepted) from None

    async def await_transform_fn(
        model: Any, body: Body, header: str, _accept: str, context: Context
    ) -> Any:
        accepted = accept(context.accept, default_accept)
        data = convert_body(body, header)
        try:
            result = await call(model, data, content_type(header), accepted, context)
            return _body_and_type(result, accepted)
        except UnsupportedFormatError as error:
            raise _request_or_response_error(error, accepted) from None

    return await_transform_fn if is_async else transform_with_transform_fn


def _request_or_response_error(error: UnsupportedFormatError, accepted: str) -> Exception:
    """AWS's toolkit has one class for 406 and 415; its content type says which is meant."""
    return NotAcceptableError(error.message) if error.content_type == accepted else error


def _body_and_type(result: Any, accepted: str) -> tuple[Any, str]:
    """The body and content type for the return value of a script function.

    Values other than text and bytes are encoded, as JSON if no codec writes their type or the codec
    cannot write the value: Multi Model Server writes them as JSON. Of a longer tuple, the first two
    count.

    Raises:
        EncodeError: the value has no JSON form either.
    """
    kind = response_type(accepted)
    if isinstance(result, tuple):
        result, returned_type = result[:2]
        kind = returned_type or kind
    if isinstance(result, (str, *_BYTES)):
        return result, kind
    codec = codecs.for_content_type(kind)
    if codec is not None and codec.encode is not None:
        try:
            return codec.encode(result, kind), kind
        except EncodeError:
            if content_types.parse(kind).name == content_types.JSON:
                raise
    json = codecs.for_content_type(content_types.JSON)
    return json.encode(result, content_types.JSON) if json and json.encode else result, (
        content_types.JSON
    )


def convert_body(body: Body, header: str) -> str | Body:
    """JSON and CSV as str, other bodies as bytearray.

    Raises:
        DecodeError: the body cannot be decoded by the charset of the header.
    """
    if content_types.parse(header).name in content_types.UTF8_TYPES:
        return _charset.text(body, header)
    return bytearray(body)


def content_type(header: str) -> str | None:
    """The Content-Type that a script function gets; None if the client sent none."""
    if not header.strip():
        return None
    name, *parameters = header.split(";")
    name = name.strip().lower()
    if name in content_types.UTF8_TYPES:
        # The body is already decoded by its charset.
        parameters = _without(parameters, "charset")
    return ";".join([name, *parameters])


def preferences(header: str) -> list[str]:
    """The types of an Accept header, most preferred first, without quality and charset."""
    by_quality: list[tuple[float, str]] = []
    for item in _ITEM.findall(header):
        ranges = content_types.parse_accept(item)
        if not ranges or ranges[0][1] == 0:
            continue
        parameters = _without(item.split(";")[1:], "q", "charset")
        by_quality.append((-ranges[0][1], ";".join([ranges[0][0], *parameters])))
    by_quality.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(text for _, text in by_quality))


@lru_cache(maxsize=256)
def accept(header: str, default: str) -> str:
    """The Accept header that a script function gets: concrete types, most preferred first.

    Args:
        header: the client's Accept header.
        default: the content type if the client accepts anything.
    """
    types: list[str] = []
    for text in preferences(header):
        offers = (default, *_WRITABLE) if text != content_types.ANY else (default,)
        types += [name for name in offers if content_types.matches(text, name)] or [text]
    return ",".join(dict.fromkeys(types)) or default


@lru_cache(maxsize=256)
def response_type(accepted: str) -> str:
    """The content type if a function returns none: the first that AWS's toolkit writes."""
    names = [content_types.parse(text).name for text in accepted.split(",")]
    return next((name for name in names if name in _WRITABLE), names[0])


def _without(parameters: Sequence[str], *names: str) -> list[str]:
    return [text for text in parameters if text.partition("=")[0].strip().lower() not in names]
