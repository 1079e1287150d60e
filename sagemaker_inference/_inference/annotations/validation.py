"""Annotations that pydantic or msgspec validate: classes, and lists and dicts of them."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, get_origin

import orjson

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, RegistrationError, UnprocessableInputError
from sagemaker_inference._inference.annotations.arrays import as_numbers
from sagemaker_inference._inference.annotations.hints import (
    is_array_class,
    names_of_lists,
    with_lists,
)
from sagemaker_inference._inference.annotations.large import (
    OBJECT,
    Expected,
    item_of,
    reading,
)
from sagemaker_inference._inference.annotations.tables import is_json, plain, wraps_instances
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

_NUMBER_STARTS: Final = [bytes([code]) for code in b"-0123456789"]
# Instances of the types that JSON decodes to, to test abstract classes such as Iterable and Number.
_PLAIN_VALUES: Final[tuple[Any, ...]] = ([], {}, "", 0, 0.0, True)
# Lists that hold no object, by the first byte of their first item.
_IN_PLACE: Final = {b"[": b"[[]]", b'"': b'[""]', **dict.fromkeys(_NUMBER_STARTS, b"[0]")}


def pydantic_converter(hint: Any) -> Convert | None:
    """The converter that validates by pydantic; None if it has no schema (for array fields)."""
    pydantic: Any = sys.modules["pydantic"]
    adapter = _adapter(pydantic, hint)
    if adapter is None:
        return None
    read = _or_instances(adapter.validate_json, pydantic.ValidationError)
    lists = names_of_lists(hint)
    expected = _expected(pydantic, adapter, hint)

    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        try:
            if is_json(content_type):
                return read(_stand_in(_affordable(body, content_type), expected))
            data = with_lists(expected.decoded(body, content_type, decode), lists, content_type)
            return adapter.validate_python(_plain(data, body, expected))
        except pydantic.ValidationError as error:
            # What it refused may be all of the body.
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "json_invalid":
                message = f"Invalid JSON: {first['msg'].removeprefix('Invalid JSON: ')[:200]}"
                raise DecodeError(message) from None
            field = ".".join(str(part) for part in first["loc"]) or "the body"
            message = f"{field[:100]}: {first['msg'][:200]}"
            raise UnprocessableInputError(message) from None

    return convert


def _adapter(pydantic: Any, hint: Any) -> Any:
    """What validates by a hint: a list up to its first error, since the others are not shown."""
    hints = [hint]
    if get_origin(hint) is list and hasattr(pydantic, "FailFast"):
        hints.insert(0, Annotated[hint, pydantic.FailFast()])
    for each in hints:
        with contextlib.suppress(Exception):  # pydantic calls hooks of the classes
            return pydantic.TypeAdapter(each)
    return None


def _takes_objects(schema: Any) -> bool:
    """Whether only objects can be valid: no function of the program sees the body before that."""
    inner = schema.get("schema", {}).get("type")
    return schema["type"] == "dict" or inner in ("model-fields", "dataclass-args")


def _expected(pydantic: Any, adapter: Any, hint: Any) -> Expected:
    if _takes_objects(adapter.core_schema):
        return Expected(OBJECT)
    expected = Expected.by(hint)
    item = item_of(hint)
    item_adapter = None if item is None else _adapter(pydantic, item)
    if item_adapter is not None and _takes_objects(item_adapter.core_schema):
        expected = expected._replace(item=OBJECT)
    return expected


def _stand_in(text: bytes, expected: Expected) -> bytes:
    """A JSON text, or a short one that pydantic refuses for the same reason.

    It reads all of a text before it looks at anything, and its error holds all of it.
    """
    if len(text) <= _budget.SMALL:
        return text
    start = text[: _budget.SMALL].lstrip()
    if start[:1] != b"[":
        return text
    if expected.kind == OBJECT:
        return b"[]"
    first = start[1:].lstrip()[:1]
    return _IN_PLACE.get(first, text) if expected.item == OBJECT else text


def _plain(data: Any, body: Body, expected: Expected) -> Any:
    with _budget.tentative(body):
        return plain(data, body, is_copied=True, as_floats=expected.has_floats)


def _affordable(body: Body, content_type: str, *, numbers: bool = False) -> bytes:
    """The text of a JSON body, once its values are within the budget.

    Args:
        body: the body.
        content_type: its Content-Type.
        numbers: whether only numbers can fit.

    Raises:
        PayloadTooLargeError: they are not.
    """
    text = _charset.utf8(body, content_type)
    if (budget := _budget.if_large(body)) is not None:
        from sagemaker_inference.codecs import _json_size

        with reading(text, numbers=numbers):
            _json_size.take(text, budget, "JSON")
    return bytes(text)


def _or_instances(read: Callable[[bytes], Any], invalid: type[Exception]) -> Callable[[bytes], Any]:
    """Read JSON, or the value of ``{"instances": ...}``, which `codecs.json` unwraps as well."""

    def read_either(text: bytes) -> Any:
        try:
            return read(text)
        except invalid:
            if not wraps_instances(text):
                raise
            try:
                document = orjson.loads(text)
            except orjson.JSONDecodeError:
                document = {}
            if list(document) != ["instances"]:
                raise
        return read(orjson.dumps(document["instances"]))

    return read_either


def msgspec_converter(hint: Any) -> Convert:
    try:
        import msgspec
    except ImportError:
        message = (
            f"the annotation {hint!r} needs msgspec to validate requests. "
            "Install it with: pip install 'sagemaker-inference[types]'"
        )
        raise RegistrationError(message) from None
    try:
        decoder: Any = msgspec.json.Decoder(hint, dec_hook=_as_field)
        unknown = _unknown(msgspec.inspect.type_info(hint), set())
    except Exception as error:  # noqa: BLE001 - evaluates the annotations of fields
        message = (
            f"the annotation {hint!r} is not supported: {error}. Annotate it with a type that "
            "docs/handlers.md lists, or register a decoder."
        )
        raise RegistrationError(message) from None
    if unknown is not None:
        message = (
            f"the annotation {hint!r} needs {unknown.__module__}.{unknown.__qualname__}, which no "
            "body can be converted to. Annotate it with a type that docs/handlers.md lists, or "
            "register a decoder."
        )
        raise RegistrationError(message)
    read = _or_instances(decoder.decode, msgspec.ValidationError)
    lists = names_of_lists(hint)
    expected = Expected.by(hint)

    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        try:
            if is_json(content_type):
                return read(_affordable(body, content_type, numbers=expected.has_numbers_only))
            data = with_lists(expected.decoded(body, content_type, decode), lists, content_type)
            if expected.is_told_by_a_row(data):
                msgspec.convert(data[:1].tolist(), hint)
                values = plain(data, body, is_copied=True, as_floats=expected.has_floats)
                return msgspec.convert(values, hint)
            # The values of forms are text, which stands for numbers as well.
            strict = not content_types.is_form(content_type)
            if type(data) is dict:  # of a form: fields may be annotated as arrays
                with contextlib.suppress(msgspec.ValidationError):
                    return msgspec.convert(data, hint, strict=strict, dec_hook=_as_field)
            values = _plain(data, body, expected)
            return msgspec.convert(values, hint, strict=strict, dec_hook=_as_field)
        except msgspec.ValidationError as error:
            message = str(error).replace("`", "")[:300]
            raise UnprocessableInputError(message) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"Invalid JSON: {str(error)[:200]}"
            raise DecodeError(message) from None

    return convert


def _as_field(kind: Any, value: Any) -> Any:
    """A field whose type is unknown to msgspec: an array of numbers, or unchanged."""
    if not is_array_class(kind):
        return value
    try:
        return as_numbers(value)
    except UnprocessableInputError as error:
        # msgspec adds the path of the field to a ValueError.
        raise ValueError(error.message) from None


def _unknown(info: Any, seen: set[int]) -> Any:
    """The first class that a value must contain, but that neither msgspec nor we can create.

    Args:
        info: msgspec's description of a type and its parts, each of which occurs once.
        seen: the ids of the parts visited so far.
    """
    if isinstance(info, (list, tuple)):
        return next(filter(None, (_unknown(part, seen) for part in info)), None)
    is_optional = not getattr(info, "required", True) or type(info).__name__ == "UnionType"
    if id(info) in seen or is_optional or not hasattr(info, "__struct_fields__"):
        return None
    seen.add(id(info))
    if type(info).__name__ == "CustomType":
        known = is_array_class(info.cls) or any(
            isinstance(value, info.cls) for value in _PLAIN_VALUES
        )
        return None if known else info.cls
    return _unknown([getattr(info, name) for name in info.__struct_fields__], seen)
