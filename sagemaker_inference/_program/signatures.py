"""A user's function, and the one way this package calls it.

The signature is read once, at registration: a function that can never be called is refused there,
and on the path of a request a call only indexes.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program.roles import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagemaker_inference._program.roles import Role


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function.

    Attributes:
        role: what it is registered as.
        function: what the user wrote, unchanged.
        call: takes every offer of the role and then the context, all by position.
        is_async: whether ``call`` returns an awaitable.
        hints: the annotation of each offer that it takes; text where it cannot be evaluated.
    """

    role: Role
    function: Callable[..., Any]
    call: Callable[..., Any]
    is_async: bool
    hints: Mapping[str, Any]

    @classmethod
    def from_function(cls, role: Role, function: Callable[..., Any]) -> Handler:
        """Read the signature of ``function``.

        Raises:
            RegistrationError: it is not callable, or not with what its role is offered.
        """
        if not callable(function):
            message = (
                f"@{role.name} was given {function!r}, which cannot be called. "
                f"Give it a function: def {role}: ..."
            )
            raise RegistrationError(message)
        is_async = _is_async(function)
        if is_async and not role.may_be_async:
            message = (
                f"@{role.name} is on {describe(function)}, which is async: it runs before or after "
                "requests, with no loop to await it. Make it a plain def."
            )
            raise RegistrationError(message)
        return cls(role, function, _adapt(role, function), is_async, _hints(role, function))

    def __str__(self) -> str:
        return describe(self.function)


def describe(function: Callable[..., Any]) -> str:
    """Name a function and its place, as in ``predict (inference.py, line 12)``."""
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


def _is_async(function: Callable[..., Any]) -> bool:
    # Not unwrapped: what a decorator of the user's returns decides, not what it wraps.
    while isinstance(function, functools.partial):
        function = function.func
    call = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _hints(role: Role, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return {}
    resolved = _resolved(function)
    hints: dict[str, Any] = {}
    by_position = iter(role.offers)
    for parameter in parameters:
        if parameter.name == CONTEXT:
            continue
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        offer = parameter.name if by_name else next(by_position, "")
        hint = resolved.get(parameter.name, parameter.annotation)
        if hint is not parameter.empty:
            hints[offer] = _BUILTIN_HINTS.get(hint, hint) if isinstance(hint, str) else hint
    return hints


def _resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as objects, where they can be evaluated.

    One that names something imported for type checkers only cannot, and keeps its text.
    """
    inner = _innermost(function)
    inner = inner if hasattr(inner, "__code__") else type(inner).__call__
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except Exception:  # noqa: BLE001, S110 - evaluating an annotation may raise anything
        pass
    # Each by itself: one that cannot be evaluated shall not take the others along.
    found: dict[str, Any] = {}
    names = getattr(inner, "__globals__", {})
    for name, hint in getattr(inner, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: hint})
        with contextlib.suppress(Exception):
            found.update(typing.get_type_hints(alone, names, include_extras=True))
    return found


_BUILTIN_HINTS: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in (bytes, bytearray, memoryview, str, dict, list)
}


def _adapt(role: Role, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``function`` callable with every offer and the context, by position."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some builtins have no signature: give them what no role does without
        positional: list[int] = list(range(max(role.least, 1)))
        keywords: dict[str, int] = {}
    else:
        positional, keywords = _plan(role, function, parameters)
    if keywords:
        return _by_keyword(function, positional, keywords)
    count = len(positional)
    if positional != list(range(count)):
        return _by_index(function, positional)
    return function if count > len(role.offers) else _by_position(function, count)


# Named functions, since these stand in the traceback of a user's mistake.


def _by_position(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Pass the first ``count`` offers on; spelled out for 1 and 2, the usual ones, it is faster."""
    if count == 1:

        def call_with_1(first: Any, *_rest: Any) -> Any:
            return function(first)

        return call_with_1
    if count == 2:  # noqa: PLR2004

        def call_with_2(first: Any, second: Any, *_rest: Any) -> Any:
            return function(first, second)

        return call_with_2

    def call_with_first(*offered: Any) -> Any:
        return function(*offered[:count])

    return call_with_first


def _by_index(function: Callable[..., Any], indices: Sequence[int]) -> Callable[..., Any]:
    def call_with_some(*offered: Any) -> Any:
        return function(*[offered[index] for index in indices])

    return call_with_some


def _by_keyword(
    function: Callable[..., Any], indices: Sequence[int], keywords: Mapping[str, int]
) -> Callable[..., Any]:
    def call_with_keywords(*offered: Any) -> Any:
        return function(
            *[offered[index] for index in indices],
            **{name: offered[index] for name, index in keywords.items()},
        )

    return call_with_keywords


def _plan(  # noqa: C901, PLR0912 - a branch for each kind of parameter
    role: Role, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> tuple[list[int], dict[str, int]]:
    """Decide which offer each parameter gets: by position, then by keyword.

    Positional parameters are filled from the left; a parameter named ``context`` gets the context
    wherever it stands; one more without a default gets it by position. A parameter with a default
    keeps it: AWS's containers add such (``preferred_batch_size=1``, ``model=None``).
    """
    if parameters and parameters[0].name == "self":
        raise RegistrationError(_unbound(role, function))
    context = len(role.offers)
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
            elif taken < len(role.offers):
                index, taken = taken, taken + 1
            elif required and not named and context not in positional:
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
            positional.extend(range(taken, len(role.offers)))
            taken = len(role.offers)
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords.update({name: role.offers.index(name) for name in role.offers[taken:]})
            taken = len(role.offers)
        elif parameter.name in (*role.offers[taken:], CONTEXT):
            keywords[parameter.name] = (*role.offers, CONTEXT).index(parameter.name)
        elif required:
            raise RegistrationError(_unknown_keyword(role, function, parameter.name))
    filled = {*positional, *keywords.values()} - {context}
    if len(filled) < role.least:
        raise RegistrationError(_too_few(role, function))
    return positional, keywords


def _unbound(role: Role, function: Callable[..., Any]) -> str:
    return (
        f"@{role.name} is on {describe(function)}, a method of a class: nobody could give it "
        f"its self. Make an instance and register the bound method: "
        f"{role.name}(instance.{getattr(function, '__name__', 'method')})"
    )


def _too_many(
    role: Role, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> str:
    names = [parameter.name for parameter in parameters]
    return (
        f"@{role.name} is on {describe(function)}, which takes {len(names)} arguments "
        f"({', '.join(names)}); a {role.name} is offered at most {len(role.offers) + 1}. "
        f"Write: def {getattr(function, '__name__', 'handler')}"
        f"({', '.join((*role.offers, CONTEXT))}), or give the others a default."
    )


def _too_few(role: Role, function: Callable[..., Any]) -> str:
    return (
        f"@{role.name} is on {describe(function)}, which takes too few arguments. "
        f"Write: def {getattr(function, '__name__', 'handler')}"
        f"({', '.join(role.offers[: role.least])})"
    )


def _unknown_keyword(role: Role, function: Callable[..., Any], name: str) -> str:
    return (
        f"@{role.name} is on {describe(function)}, whose keyword {name!r} nobody gives. "
        f"A {role.name} may take {', '.join((*role.offers, CONTEXT))}; give {name!r} a default."
    )
