"""The annotation of what a predictor returns: predictions are checked as inputs are.

Only classes with fields are looked at (a dataclass, a TypedDict, a Struct of msgspec, a class of
attrs, a model of pydantic), and lists, dicts and optional values of them: ``-> list[float]`` is on
predictors that return arrays, which are written as such a list.

What is checked are dicts, rows of a table, and other objects. They reach the encoders as dicts, as
they would without the annotation, but with defaults filled in and values of the annotation's types.
Instances of the annotated class stay as they are: the class has had its chance to check them, and
their fields may be what only an encoder of the program understands.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._inference.annotations.hints import (
    UNIONS,
    has_fields,
    is_typed_dict,
    library_of,
    mentions_pydantic,
)
from sagemaker_inference._inference.annotations.problems import errors_of, listed, of_pydantic
from sagemaker_inference._inference.annotations.unknown_fields import left_out
from sagemaker_inference._inference.streams import is_iterator
from sagemaker_inference._log import get_logger
from sagemaker_inference._program.signatures import return_hint
from sagemaker_inference.codecs import _objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.registration import Registration
    from sagemaker_inference._program.signatures import Handler

logger = get_logger()

_SHOWN: Final = 2000
_CONTAINERS: Final = (
    list,
    dict,
    tuple,
    Sequence,
    Mapping,
    *UNIONS,
    Annotated,
)


def with_check(predictor: Registration) -> Registration:
    """A predictor whose predictions are checked, if its annotation says what they are.

    Of a batch, each is. Items of streams, and rows of a batch that is one array, are not.
    """
    handler, batching = predictor.handler, predictor.batching
    hint = return_hint(handler.function)
    in_batch = batching.max_batch_size > 1
    if in_batch:
        arguments = get_args(hint) if batching.collate == "list" else ()
        hint = arguments[0] if len(arguments) == 1 else None
    if predictor.is_script or handler.yields or handler.yields_async or not _has_fields(hint):
        return predictor
    try:
        check, call = _Check(handler, hint), handler.call
    except RegistrationError as error:
        # It serves all the same: the annotation may be for readers only.
        logger.warning("what %s returns is not checked: %s", handler, error)
        return predictor

    def checked(value: Any) -> Any:
        try:
            return list(map(check, value)) if in_batch else check(value)
        except Exception as error:  # noqa: BLE001 - hooks of the classes may raise anything
            message = f"{handler} returned what its annotation does not allow: {_why(error)}"
            raise TypeError(message) from None

    def predict(data: Any, model: Any, context: Any) -> Any:
        return checked(call(data, model, context))

    async def await_prediction(data: Any, model: Any, context: Any) -> Any:
        return checked(await call(data, model, context))

    call_and_check = await_prediction if handler.is_async else predict
    return replace(predictor, handler=replace(handler, call=call_and_check))


class _Check:
    """What checks predictions.

    Args:
        handler: the predictor.
        hint: its annotation.

    Raises:
        RegistrationError: nothing can check them.
    """

    def __init__(self, handler: Handler, hint: Any) -> None:
        self._handler = handler
        self._hint = hint
        self._convert = _converter(hint)
        self._has_warned = False

    def __call__(self, value: Any) -> Any:
        """What encoders get in place of a prediction; raises with the name of a wrong field."""
        # Items of streams are not known yet.
        if is_iterator(value) or _is_made(self._hint, value):
            return value
        if hasattr(value, "to_dict") and hasattr(value, "columns"):
            # With numpy, which the server is not to import before a program does.
            from sagemaker_inference.codecs import _json_writer

            value = _json_writer.records(value)
        prediction, instance = self._convert(value)
        names = [] if self._has_warned else list(left_out(value, instance))
        if names:
            self._has_warned = True
            logger.warning(
                "%s returned fields that its annotation does not have, and that are left out of "
                "the answers: %s",
                self._handler,
                ", ".join(names)[:_SHOWN],
            )
        return prediction


def _has_fields(hint: Any) -> bool:
    """Whether a hint is a class with fields, or a list, a dict or an optional value of one."""
    if isinstance(hint, type) and not get_args(hint):
        return has_fields(hint)
    # Not Iterator[...] and its like, whose items are a stream.
    return get_origin(hint) in _CONTAINERS and any(map(_has_fields, get_args(hint)))


def _is_made(hint: Any, value: Any) -> bool:
    """Whether a prediction is of its annotation already."""
    arguments = get_args(hint)
    if not arguments:
        is_class = isinstance(hint, type) and not is_typed_dict(hint)
        return is_class and isinstance(value, hint)
    kind = get_origin(hint)
    if kind is Annotated:
        return _is_made(arguments[0], value)
    if kind in UNIONS:
        return any(_is_made(one, value) for one in arguments)
    if kind in (dict, Mapping):
        return isinstance(value, dict) and all(
            _is_made(arguments[1], item) for item in value.values()
        )
    is_of_one = kind is not tuple or Ellipsis in arguments
    return (
        is_of_one
        and isinstance(value, (list, tuple))
        and all(_is_made(arguments[0], item) for item in value)
    )


def _converter(hint: Any) -> Callable[[Any], tuple[Any, Any]]:
    """What checks a prediction, or raises with the name of the field.

    It returns what encoders get, and what that was made of: instances of the annotation.
    """
    if mentions_pydantic(hint, {}):
        return _converter_of_pydantic(hint)
    from sagemaker_inference._inference.annotations.by_msgspec import plain_converter

    convert = plain_converter(hint)

    def convert_by_msgspec(value: Any) -> tuple[Any, Any]:
        instance = convert(value)
        return _objects.plain(instance), instance

    return convert_by_msgspec


def _converter_of_pydantic(hint: Any) -> Callable[[Any], tuple[Any, Any]]:
    pydantic: Any = sys.modules["pydantic"]
    adapter = pydantic.TypeAdapter(hint)

    def convert(value: Any) -> tuple[Any, Any]:
        try:
            instance = adapter.validate_python(value, from_attributes=True)
        except pydantic.ValidationError:
            # Fields that are lists may come as arrays, and those that are arrays must.
            instance = adapter.validate_python(_without_arrays(value), from_attributes=True)
        # By the names that its schema has.
        prediction = adapter.dump_python(instance, by_alias=True)
        return _objects.plain(prediction), instance

    return convert


def _without_arrays(value: Any) -> Any:
    """The same with numbers and lists in place of those of numpy and its like."""
    if isinstance(value, dict):
        return {name: _without_arrays(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(_without_arrays, value))
    return value.tolist() if hasattr(value, "tolist") else value


def _why(error: Exception) -> str:
    """Which fields are wrong, and what is wrong with them."""
    if library_of(type(error)) == "pydantic_core":
        return listed(of_pydantic(errors_of(error)), whole="the prediction")
    return str(error)[:_SHOWN]
