"""Fields of classes that pydantic only knows by ``isinstance``: those of other libraries.

They are made of what JSON and forms have: an image of base64, an array of numbers, an instance of
a class of attrs or msgspec of an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, get_args, get_origin

from sagemaker_inference._errors import UnprocessableInputError
from sagemaker_inference._inference.annotations.arrays import as_numbers
from sagemaker_inference._inference.annotations.files import as_file, is_file_class
from sagemaker_inference._inference.annotations.hints import (
    LISTS,
    cells_of,
    core,
    fields_by_name,
    has_fields,
    is_array_class,
    is_image_class,
    with_lists,
)
from sagemaker_inference._inference.annotations.problems import Problem, of_msgspec

# What pydantic says of a value that is no instance: of JSON, and of Python.
NOT_AN_INSTANCE: Final = {"needs_python_object", "is_instance_of"}


def as_field(kind: Any, value: Any, *, strict: bool = True) -> Any:
    """A field whose type is unknown to msgspec: a file, an array of numbers, or unchanged.

    Raises:
        ValueError: it is not one.
    """
    if (items := with_lists(kind)) is not kind:
        import msgspec

        hook = as_field if strict else as_field_of_form
        return msgspec.convert(value, items, strict=strict, dec_hook=hook)
    if is_file_class(kind):
        return as_file(kind, value)
    if not is_array_class(kind):
        return value
    try:
        return as_numbers(value)
    except UnprocessableInputError as error:
        # msgspec adds the path of the field to a ValueError.
        raise ValueError(error.message) from None


as_field_of_form: Final = partial(as_field, strict=False)


class Instances:
    """Makes instances of the fields of an annotation that pydantic takes nothing else for.

    Args:
        hint: the annotation.
    """

    def __init__(self, hint: Any) -> None:
        self._hint = hint
        self._fields: dict[Any, Mapping[str, Any]] = {}

    def made(self, data: Any, wrong: dict[tuple[Any, ...], Problem] | None = None) -> Any:
        """Data with the instances that can be made, and the rest as it is.

        Args:
            data: what JSON or a form holds.
            wrong: gets what is wrong with the others, by their paths.
        """
        return self._made(data, self._hint, (), {} if wrong is None else wrong)

    def _made(
        self, value: Any, hint: Any, path: tuple[Any, ...], wrong: dict[tuple[Any, ...], Problem]
    ) -> Any:
        kind = core(hint)[0]
        if _is_made_here(kind):
            try:
                return _instance(kind, value)
            except ValueError as error:
                wrong[path] = of_msgspec(error, path, value, hint)
                return value
        if isinstance(value, list):
            hints = cells_of(kind)
            if get_origin(kind) in LISTS and len(hints) == 1:
                hints *= len(value)
            parts = zip(value, hints, strict=False)
            made = [self._made(one, part, (*path, i), wrong) for i, (one, part) in enumerate(parts)]
            return made + value[len(made) :]
        if not isinstance(value, dict):
            return value
        fields = self._fields_of(kind)
        item = get_args(kind)[1] if get_origin(kind) in (dict, Mapping) else None
        return {
            name: self._made(one, fields.get(name, item), (*path, name), wrong)
            for name, one in value.items()
        }

    def _fields_of(self, kind: Any) -> Mapping[str, Any]:
        if not has_fields(kind):
            return {}
        if kind not in self._fields:
            self._fields[kind] = fields_by_name(kind)
        return self._fields[kind]


def _is_made_here(kind: Any) -> bool:
    if hasattr(kind, "__get_pydantic_core_schema__"):
        return False
    return is_array_class(kind) or is_image_class(kind) or _is_of_msgspec(kind)


def _is_of_msgspec(kind: Any) -> bool:
    """Whether it is a class that msgspec makes instances of, and pydantic does not."""
    return isinstance(kind, type) and (
        hasattr(kind, "__struct_fields__") or hasattr(kind, "__attrs_attrs__")
    )


def _instance(kind: Any, value: Any) -> Any:
    """An instance of a value, which may be one already, or None."""
    origin = get_origin(kind) or kind
    if value is None or (isinstance(origin, type) and isinstance(value, origin)):
        return value
    if not _is_of_msgspec(kind):
        return as_field(kind, value)
    import msgspec

    return msgspec.convert(value, kind, dec_hook=as_field)
