"""A user's function, and the single way in which this package calls it.

The signature is read once, at registration: a function that can never be called is rejected there,
and while a request is handled a call only indexes.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program.roles import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagemaker_inference._program.roles import Role

# Python 3.14 evaluates annotations when they are read: one that names something imported under
# TYPE_CHECKING raises NameError then.
if sys.version_info >= (3, 14):  # pragma: no cover - coverage is measured on earlier ones
    from annotationlib import Format, get_annotations

    _AS_TEXT: Final[dict[str, Any]] = {"annotation_format": Format.STRING}
    _annotations: Final = functools.partial(get_annotations, format=Format.FORWARDREF)
else:
    _AS_TEXT: Final[dict[str, Any]] = {}

    def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
        """The annotations, as far as they can be evaluated."""
        annotations: dict[str, Any] = getattr(function, "__annotations__", {})
        return annotations


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function.

    Attributes:
        role: the role it is registered for.
        function: the user's function, unchanged.
        call: takes every argument of the role and then the context, all by position.
        is_async: whether ``call`` returns an awaitable.
        hints: the annotation of each argument that it takes; a str if it cannot be evaluated.
        yields: whether it is a generator function.
        yields_async: whether it is an async generator function.
    """

    role: Role
    function: Callable[..., Any]
    call: Callable[..., Any]
    is_async: bool
    hints: Mapping[str, Any]
    yields: bool = False
    yields_async: bool = False

    @classmethod
    def from_function(
        cls, role: Role, function: Callable[..., Any], *, checks_names: bool = False
    ) -> Handler:
        """Read the signature of ``function``.

        Args:
            role: the role to register it for.
            function: the function.
            checks_names: whether a parameter must not have the name of another argument than it
                gets. AWS's toolkit passes arguments to script functions regardless of names.

        Raises:
            RegistrationError: it is not callable, or cannot take the arguments of its role.
        """
        if not callable(function):
            message = (
                f"@{role.name} got {function!r}, which is not callable. "
                f"Decorate a function: def {role}: ..."
            )
            raise RegistrationError(message)
        yields_async = _is(inspect.isasyncgenfunction, function)
        if yields_async and not role.may_stream:
            message = (
                f"@{role.name} is on {describe(function)}, an async generator, whose values are "
                "not taken one by one. Make it an async def that returns one value."
            )
            raise RegistrationError(message)
        is_async = _is(inspect.iscoroutinefunction, function)
        if is_async and not role.may_be_async:
            message = (
                f"@{role.name} is on {describe(function)}, which is async, but is called "
                "between requests and must not wait. Make it a plain def."
            )
            raise RegistrationError(message)
        if checks_names:
            _check_names(role, function)
        return cls(
            role,
            function,
            _adapt(role, function),
            is_async,
            _hints(role, function),
            yields=_is(inspect.isgeneratorfunction, function),
            yields_async=yields_async,
        )

    def __str__(self) -> str:
        return describe(self.function)


def describe(function: Callable[..., Any]) -> str:
    """Name a function with its file and line, as in ``predict (inference.py, line 12)``."""
    inner = _innermost(function)
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    if code is None:
        return str(name)
    return f"{name} ({_short(code.co_filename)}, line {code.co_firstlineno})"


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    return getattr(function, "__func__", function)


def _is(kind: Callable[[Callable[..., Any]], bool], function: Callable[..., Any]) -> bool:
    # Not unwrapped: what counts is what the user's decorator returns, not what it wraps.
    while isinstance(function, functools.partial):
        function = function.func
    return kind(function) or kind(type(function).__call__)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function.

    Raises:
        ValueError: it has no signature, as some builtins.
    """
    return list(inspect.signature(function, **_AS_TEXT).parameters.values())


def _hints(role: Role, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = _parameters(function)
    except ValueError:
        return {}
    resolved = _resolved(function)
    hints: dict[str, Any] = {}
    by_position = iter(role.arguments)
    for parameter in parameters:
        if parameter.name == CONTEXT:
            continue
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        argument = parameter.name if by_name else next(by_position, "")
        hint = resolved.get(parameter.name, parameter.annotation)
        if hint is not parameter.empty:
            hints[argument] = _BUILTIN_HINTS.get(hint, hint) if isinstance(hint, str) else hint
    return hints


def return_hint(function: Callable[..., Any]) -> Any:
    """The annotation of what a function returns; None if it has none, or one without a meaning."""
    return _resolved(function).get("return")


def _resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be evaluated, as objects.

    One that names something imported under TYPE_CHECKING cannot be, and stays a str.
    """
    inner = _innermost(function)
    inner = inner if hasattr(inner, "__code__") else type(inner).__call__
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except Exception:  # noqa: BLE001, S110 - evaluating an annotation may raise anything
        pass
    # Each by itself, so that one that cannot be evaluated does not affect the others.
    hints: dict[str, Any] = {}
    names = getattr(inner, "__globals__", {})
    for name, hint in _annotations(inner).items():
        alone = types.SimpleNamespace(__annotations__={name: hint})
        with contextlib.suppress(Exception):
            hints.update(typing.get_type_hints(alone, names, include_extras=True))
    return hints


_BUILTIN_HINTS: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in (bytes, bytearray, memoryview, str, dict, list)
}


def _adapt(role: Role, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``function`` callable with every argument of its role and the context, by position."""
    try:
        parameters = _parameters(function)
    except ValueError:  # some builtins have no signature: pass what every handler must take
        positional: list[int] = list(range(max(role.min_arguments, 1)))
        keywords: dict[str, int] = {}
    else:
        positional, keywords = _plan(role, function, parameters)
    if keywords:
        return _by_keyword(function, positional, keywords)
    count = len(positional)
    if positional != list(range(count)):
        return _by_index(function, positional)
    return function if count > len(role.arguments) else _by_position(function, count)


# Functions with names rather than lambdas: they appear in the tracebacks that users read.


def _by_position(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Pass the first ``count`` arguments; written out for 1 and 2, which is faster and common."""
    if count == 1:

        def call_with_1(first: Any, *_rest: Any) -> Any:
            return function(first)

        return call_with_1
    if count == 2:  # noqa: PLR2004

        def call_with_2(first: Any, second: Any, *_rest: Any) -> Any:
            return function(first, second)

        return call_with_2

    def call_with_first(*arguments: Any) -> Any:
        return function(*arguments[:count])

    return call_with_first


def _by_index(function: Callable[..., Any], indices: Sequence[int]) -> Callable[..., Any]:
    def call_with_some(*arguments: Any) -> Any:
        return function(*[arguments[index] for index in indices])

    return call_with_some


def _by_keyword(
    function: Callable[..., Any], indices: Sequence[int], keywords: Mapping[str, int]
) -> Callable[..., Any]:
    def call_with_keywords(*arguments: Any) -> Any:
        return function(
            *[arguments[index] for index in indices],
            **{name: arguments[index] for name, index in keywords.items()},
        )

    return call_with_keywords


def _check_names(role: Role, function: Callable[..., Any]) -> None:
    """Reject ``predict(model, data)``: arguments are passed by position.

    Raises:
        RegistrationError: a parameter has the name of an argument that another parameter gets.
    """
    try:
        parameters = _parameters(function)
    except ValueError:
        return
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [item.name for item in parameters if item.kind in kinds and item.name != CONTEXT]
    for name, argument in zip(names, role.arguments, strict=False):
        if name != argument and name in role.arguments:
            count = max(len(names), role.arguments.index(name) + 1)
            message = (
                f"@{role.name} is on {describe(function)}, whose parameter {name!r} gets the "
                f"{argument}: arguments are passed by position. "
                f"Write: def {getattr(function, '__name__', 'handler')}"
                f"({', '.join(role.arguments[:count])})"
            )
            raise RegistrationError(message)


# AWS's toolkit passes the context to an extra parameter of any name.
_CONTEXT_NAMES: Final = frozenset({"ctx", "_ctx", "_context"})


def _plan(  # noqa: C901, PLR0912 - a branch for each kind of parameter
    role: Role, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> tuple[list[int], dict[str, int]]:
    """Choose the argument for each parameter: by position, then by keyword.

    Positional parameters are filled from the left. A parameter named ``context`` gets the context
    wherever it is; without one, the first extra parameter that has no default, or is named
    ``ctx``, gets it. Any other extra parameter keeps its default: AWS's containers add some
    (``preferred_batch_size=1``, ``model=None``).
    """
    if parameters and parameters[0].name == "self":
        raise RegistrationError(_unbound(role, function))
    context = len(role.arguments)
    positional: list[int] = []
    keywords: dict[str, int] = {}
    taken = 0
    named = any(parameter.name == CONTEXT for parameter in parameters)
    by_position = True
    for parameter in parameters:
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if parameter.name == CONTEXT:
                index = context
            elif taken < len(role.arguments):
                index, taken = taken, taken + 1
            elif (
                (required or parameter.name in _CONTEXT_NAMES)
                and not named
                and context not in positional
            ):
                index = context
            elif required:
                raise RegistrationError(_too_many(role, function, parameters))
            else:
                by_position = False
                continue
            if by_position:
                positional.append(index)
            elif parameter.kind is not parameter.POSITIONAL_ONLY:
                keywords[parameter.name] = index
        elif parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(range(taken, len(role.arguments)))
            taken = len(role.arguments)
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords.update({name: role.arguments.index(name) for name in role.arguments[taken:]})
            taken = len(role.arguments)
        elif parameter.name in (*role.arguments[taken:], CONTEXT):
            keywords[parameter.name] = (*role.arguments, CONTEXT).index(parameter.name)
        elif required:
            raise RegistrationError(_unknown_keyword(role, function, parameter.name))
    filled = {*positional, *keywords.values()} - {context}
    if len(filled) < role.min_arguments:
        raise RegistrationError(_too_few(role, function))
    return positional, keywords


def _unbound(role: Role, function: Callable[..., Any]) -> str:
    return (
        f"@{role.name} is on {describe(function)}, a method without an instance. "
        "Create the instance and register its bound method: "
        f"{role.name}(instance.{getattr(function, '__name__', 'method')})"
    )


def _too_many(
    role: Role, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> str:
    names = [parameter.name for parameter in parameters]
    return (
        f"@{role.name} is on {describe(function)}, which takes {len(names)} arguments "
        f"({', '.join(names)}); @{role.name} passes at most {len(role.arguments) + 1}. "
        f"Write: def {getattr(function, '__name__', 'handler')}"
        f"({', '.join((*role.arguments, CONTEXT))}), or give the others defaults."
    )


def _too_few(role: Role, function: Callable[..., Any]) -> str:
    return (
        f"@{role.name} is on {describe(function)}, which takes too few arguments. "
        f"Write: def {getattr(function, '__name__', 'handler')}"
        f"({', '.join(role.arguments[: role.min_arguments])})"
    )


def _unknown_keyword(role: Role, function: Callable[..., Any], name: str) -> str:
    return (
        f"@{role.name} is on {describe(function)}, whose keyword-only parameter {name!r} is never "
        f"passed. @{role.name} passes {', '.join((*role.arguments, CONTEXT))}: give {name!r} "
        "a default."
    )
