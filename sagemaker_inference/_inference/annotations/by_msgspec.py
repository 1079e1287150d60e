"""Annotations that msgspec validates: classes, and lists and dicts of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, RegistrationError, UnprocessableInputError
from sagemaker_inference._inference.annotations.defaults import completing
from sagemaker_inference._inference.annotations.files import is_file_class
from sagemaker_inference._inference.annotations.forms import FormFields
from sagemaker_inference._inference.annotations.hints import is_array_class
from sagemaker_inference._inference.annotations.instances import as_field, as_field_of_form
from sagemaker_inference._inference.annotations.json_bodies import (
    affordable,
    document_of,
    is_json,
    or_instances,
)
from sagemaker_inference._inference.annotations.large import Expected
from sagemaker_inference._inference.annotations.msgspec_problems import wrong_fields
from sagemaker_inference._inference.annotations.problems import (
    NO_VALUE,
    is_searched,
    listed,
    of_msgspec,
)
from sagemaker_inference._inference.annotations.rows import RowReader, by_rows
from sagemaker_inference._inference.annotations.tables import plain, plain_within
from sagemaker_inference.codecs import _objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

# Instances of the types that JSON decodes to, to test abstract classes such as Iterable and Number.
_PLAIN_VALUES: Final[tuple[Any, ...]] = ([], {}, "", 0, 0.0, True)


def msgspec_converter(hint: Any) -> Convert:
    """The converter that validates by msgspec.

    Raises:
        RegistrationError: msgspec is not installed, or does not support the annotation.
    """
    decoder = _decoder(hint)
    convert, complete = by_rows(_converter(hint, decoder), hint), completing(hint)
    if complete is None:
        return convert

    def convert_and_complete(body: Body, content_type: str, /, decode: Decode) -> Any:
        return complete(convert(body, content_type, decode=decode))

    return convert_and_complete


def _decoder(hint: Any) -> Any:
    try:
        import msgspec
    except ImportError:
        message = (
            f"the annotation {hint!r} needs msgspec to validate requests. "
            "Install it with: pip install 'sagemaker-inference[types]'"
        )
        raise RegistrationError(message) from None
    try:
        decoder: Any = msgspec.json.Decoder(hint, dec_hook=as_field)
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
    return decoder


def _converter(hint: Any, decoder: Any) -> Convert:
    import msgspec

    read = or_instances(decoder.decode, msgspec.ValidationError)
    fields = FormFields(hint)
    expected = Expected.by(hint)

    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        strict = _is_strict(content_type, decode)

        def convert_part(value: Any, part: Any) -> Any:
            hook = as_field if strict else as_field_of_form
            return msgspec.convert(value, part, strict=strict, dec_hook=hook)

        values: Any = NO_VALUE
        try:
            if is_json(content_type):
                return read(affordable(body, content_type, numbers=expected.has_numbers_only))
            data = expected.decoded(body, content_type, decode)
            data = fields.with_lists(data, content_type)
            if expected.is_told_by_a_row(data):
                convert_part(data[:1].tolist(), hint)
                values = plain(data, body, is_copied=True, as_floats=expected.has_floats)
                return convert_part(values, hint)
            if type(data) is dict:  # of a form: fields may be annotated as arrays
                # It asks arrays for keys, as if they were mappings.
                with contextlib.suppress(msgspec.ValidationError, LookupError):
                    return convert_part(data, hint)
            values = plain_within(fields.with_values(data, content_type), body, expected)
            return convert_part(values, hint)
        except msgspec.ValidationError as error:
            if is_json(content_type) and is_searched(body):
                values = document_of(body, content_type)
            problems = [of_msgspec(error)]
            if values is not NO_VALUE and is_searched(body):
                problems = wrong_fields(values, hint, error, convert_part)
            raise UnprocessableInputError(listed(problems)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"Invalid JSON: {str(error)[:200]}"
            raise DecodeError(message) from None

    return convert


def _is_strict(content_type: str, decode: Decode) -> bool:
    """Whether no text stands for a number, as those of forms and of cells do."""
    if isinstance(decode, RowReader):
        return decode.is_strict
    return not content_types.is_form(content_type)


def plain_converter(hint: Any) -> Callable[[Any], Any]:
    """What makes an object of a program one of a class with fields, by msgspec.

    Raises:
        RegistrationError: msgspec is not installed, or does not support the annotation.
    """
    msgspec_converter(hint)  # it refuses what cannot be had, with the fix
    import msgspec

    complete = completing(hint)

    def convert_part(value: Any, part: Any) -> Any:
        return msgspec.convert(value, part, dec_hook=as_field)

    def convert(value: Any) -> Any:
        values = msgspec.to_builtins(value, enc_hook=_of_library)
        try:
            made = convert_part(values, hint)
        except msgspec.ValidationError as error:
            problems = wrong_fields(values, hint, error, convert_part)
            raise ValueError(listed(problems, whole="the prediction")) from None
        return made if complete is None else complete(made)

    return convert


def _of_library(value: Any) -> Any:
    """A number or an array of numpy, or a time of pandas, or of their like, as Python's."""
    if _objects.is_na(value, or_nat=True):
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if hasattr(value, "tolist"):
        return value.tolist()
    message = f"{type(value).__name__} is not a value of JSON"
    raise TypeError(message)


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
        known = is_array_class(info.cls) or is_file_class(info.cls)
        known = known or any(isinstance(value, info.cls) for value in _PLAIN_VALUES)
        return None if known else info.cls
    return _unknown([getattr(info, name) for name in info.__struct_fields__], seen)
