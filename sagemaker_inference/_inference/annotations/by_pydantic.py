"""Annotations that pydantic validates: classes, and lists and dicts of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sized
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, get_origin

import orjson

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, UnprocessableInputError
from sagemaker_inference._inference.annotations.forms import FormFields
from sagemaker_inference._inference.annotations.instances import NOT_AN_INSTANCE, Instances
from sagemaker_inference._inference.annotations.json_bodies import (
    affordable,
    document_of,
    is_json,
    or_instances,
)
from sagemaker_inference._inference.annotations.large import (
    OBJECT,
    Expected,
    item_of,
)
from sagemaker_inference._inference.annotations.problems import (
    NO_VALUE,
    SHOWN,
    Problem,
    errors_of,
    is_searched,
    listed,
    of_pydantic,
)
from sagemaker_inference._inference.annotations.tables import plain_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

_STEPS_A_MODEL: Final = 3
# Bytes of a model of pydantic beside its dict and its set of the fields that came; of a value.
_MODEL, _VALUE = 120, 64
# What the program has put into a schema.
_NO_SCHEMAS: Final = {"default", "metadata"}
# More than most models have: for those that take any.
_ANY_FIELDS: Final = 100
_NUMBER_STARTS: Final = [bytes([code]) for code in b"-0123456789"]
# Lists that hold no object, by the first byte of their first item.
_IN_PLACE: Final = {b"[": b"[[]]", b'"': b'[""]', **dict.fromkeys(_NUMBER_STARTS, b"[0]")}


def pydantic_converter(hint: Any) -> Convert | None:
    """The converter that validates by pydantic; None if it has no schema (for array fields)."""
    pydantic: Any = sys.modules["pydantic"]
    adapter = _adapter(pydantic, hint)
    if adapter is None:
        return None
    whole = _Validator(pydantic, adapter, hint)
    read = or_instances(whole.validate_json, pydantic.ValidationError)
    fields = FormFields(hint)
    item = item_of(hint)
    item_adapter = None if item is None else _adapter(pydantic, item)
    items = None if item_adapter is None else _Validator(pydantic, item_adapter, item)
    expected = _expected(adapter, hint, item_adapter)
    most = _most_fields(adapter.core_schema)

    def convert(body: Body, content_type: str, /, decode: Decode) -> Any:
        data: Any = NO_VALUE
        try:
            if is_json(content_type):
                text = _stand_in(affordable(body, content_type), expected)
                if expected.item == OBJECT:
                    counts = text.count(b"{"), text.count(b":")
                    _count_models(*counts, most, body, content_type)
                return read(text)
            data = expected.decoded(body, content_type, decode)
            data = fields.with_lists(data, content_type)
            if (
                expected.item == OBJECT
                and isinstance(data, Sized)
                and getattr(data, "ndim", None) != 0
            ):
                _count_models(len(data), most * len(data), most, body, content_type)
            data = plain_within(data, body, expected)
            return _validated(whole, data, fields, content_type)
        except pydantic.ValidationError as error:
            errors = errors_of(error)
            # That of a field has a path.
            if errors[0]["type"] == "json_invalid" and not errors[0]["loc"]:
                message = f"Invalid JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')[:200]}"
                raise DecodeError(message) from None
            if not is_searched(body):
                raise UnprocessableInputError(listed(of_pydantic(errors))) from None
            if is_json(content_type):
                data = document_of(body, content_type)
            problems = _of_items(pydantic, items, data, is_text=is_json(content_type))
            raise UnprocessableInputError(
                listed(problems or whole.problems(errors, data))
            ) from None

    return convert


class _Validator:
    """Validates, and makes the instances that pydantic only looks for.

    Args:
        pydantic: the module.
        adapter: its adapter for the annotation.
        hint: the annotation.

    Attributes:
        invalid: what pydantic raises.
    """

    def __init__(self, pydantic: Any, adapter: Any, hint: Any) -> None:
        self.invalid: type[Exception] = pydantic.ValidationError
        self._adapter = adapter
        self._instances = Instances(hint)

    def validate_json(self, text: bytes) -> Any:
        try:
            return self._adapter.validate_json(text)
        except NotImplementedError:
            pass  # pydantic before 2.10 looks for no instance in JSON
        except self.invalid as error:
            # A validator of the program's may have made them.
            if not _lacks_instances(error):
                raise
        data = sys.modules["pydantic_core"].from_json(text)
        return self._adapter.validate_python(self._instances.made(data))

    def validate_python(self, data: Any) -> Any:
        try:
            return self._adapter.validate_python(data)
        except self.invalid as error:
            if not _lacks_instances(error):
                raise
        return self._adapter.validate_python(self._instances.made(data))

    def problems(
        self, errors: Sequence[Any], data: Any, within: tuple[Any, ...] = ()
    ) -> list[Problem]:
        """The problems that errors stand for, with what kept an instance from being made.

        Args:
            errors: those of pydantic.
            data: what was validated.
            within: the path of that.
        """
        found = of_pydantic(errors, data, within)
        if not any(error["type"] in NOT_AN_INSTANCE for error in errors):
            return found
        wrong: dict[tuple[Any, ...], Problem] = {}
        self._instances.made(data, wrong)
        closer = {
            (*within, *path): Problem((*within, *problem.path), problem.text)
            for path, problem in wrong.items()
        }
        return [closer.get(problem.path, problem) for problem in found]


def _validated(whole: _Validator, data: Any, fields: FormFields, content_type: str) -> Any:
    if content_types.is_form(content_type):
        # A validator of the program's may know what a text stands for.
        with contextlib.suppress(whole.invalid):
            return whole.validate_python(data)
        data = fields.with_values(data, content_type)
    return whole.validate_python(data)


def _lacks_instances(error: Any) -> bool:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    return any(one["type"] in NOT_AN_INSTANCE for one in errors)


def _of_items(
    pydantic: Any, validator: _Validator | None, data: Any, *, is_text: bool
) -> list[Problem]:
    """The problems of the items of a list, of which pydantic has named those of the first."""
    problems: list[Problem] = []
    if validator is None or not isinstance(data, list):
        return problems
    for index, item in enumerate(data):
        try:
            if is_text:
                validator.validate_json(orjson.dumps(item))
            else:
                validator.validate_python(item)
        except pydantic.ValidationError as error:
            errors = errors_of(error)
            problems += validator.problems(errors, item, (index,))
            if len(problems) > SHOWN:
                break
    return problems


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


def _expected(adapter: Any, hint: Any, item_adapter: Any) -> Expected:
    if _takes_objects(adapter.core_schema):
        return Expected(OBJECT)
    expected = Expected.by(hint)
    if item_adapter is not None and _takes_objects(item_adapter.core_schema):
        expected = expected._replace(item=OBJECT)
    return expected


def _most_fields(schema: Any) -> int:
    """How many fields a model of pydantic has at most, of all that a schema mentions."""
    if isinstance(schema, (list, tuple)):
        return max(map(_most_fields, schema), default=0)
    if not isinstance(schema, dict):
        return 0
    own = 0
    if schema.get("type") == "model-fields":
        own = len(schema["fields"])
    elif schema.get("extra_fields_behavior") == "allow":  # in the configuration of a model
        own = _ANY_FIELDS
    parts = [part for name, part in schema.items() if name not in _NO_SCHEMAS]
    return max(own, _most_fields(parts))


@cache
def _bytes_a_field(most: int) -> float:
    """What each field of a model but its first takes, however many there are."""
    first, *others = map(_bytes_of_fields, range(1, max(most, 2) + 1))
    return max((size - first) / count for count, size in enumerate(others, 1))


def _bytes_of_fields(count: int) -> int:
    names = list(map(str, range(count)))
    return sys.getsizeof(dict.fromkeys(names)) + sys.getsizeof(set(names)) + _VALUE * count


def _count_models(count: int, fields: int, most: int, body: Body, content_type: str) -> None:
    """Count the work and memory to make models, of which the last may be wrong.

    Args:
        count: how many there are at most.
        fields: how many fields they have, all together.
        most: how many one of them can have; 0 for classes that are not models of pydantic.
        body: the body.
        content_type: its Content-Type.

    Raises:
        PayloadTooLargeError: they are too many.
    """
    budget = _budget.if_large(body)
    if budget is None:
        return
    budget.step(_STEPS_A_MODEL * count, content_type)
    if most:
        more = int(max(0, fields - count) * _bytes_a_field(most))
        budget.attempt(count * (_MODEL + _bytes_of_fields(1)) + more, content_type)


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
