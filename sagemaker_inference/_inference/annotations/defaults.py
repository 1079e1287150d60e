"""Defaults of dataclasses, which msgspec leaves to the class: set them on each instance.

``vars``, ``__dict__`` and orjson see what an instance has itself.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin

from sagemaker_inference._inference.annotations.hints import fields_of, has_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Plan(NamedTuple):
    """What an instance of a class may lack.

    Attributes:
        defaults: the defaults of its fields, by name; empty for what is not such a dataclass.
        fields: the names of the fields that may hold instances.
    """

    defaults: Mapping[str, Any]
    fields: tuple[str, ...]


def completing(hint: Any) -> Callable[[Any], Any] | None:
    """A function that sets the defaults in values of an annotation, and returns the value.

    It is None where no class in the annotation has any, so that most requests pay nothing.
    """
    plans: dict[Any, _Plan | None] = {}
    _plan(hint, plans)
    has_defaults = any(plan is not None and plan.defaults for plan in plans.values())
    return partial(_complete, plans=plans) if has_defaults else None


def _complete(value: Any, plans: Mapping[Any, _Plan | None]) -> Any:
    # Not by recursion: since Python 3.12, msgspec reads what is nested deeper than that can go.
    left = [value]
    while left:
        item = left.pop()
        plan = plans.get(type(item))
        if plan is not None:
            if plan.defaults:
                own = vars(item)
                for name, default in plan.defaults.items():
                    own.setdefault(name, default)
            left += [getattr(item, name) for name in plan.fields]
        elif isinstance(item, (list, tuple, set, frozenset)):
            left += item
        elif isinstance(item, dict):
            left += item.values()
    return value


def _plan(hint: Any, plans: dict[Any, _Plan | None]) -> bool:
    """Plan for all classes that an annotation mentions; returns whether there may be defaults."""
    if isinstance(hint, TypeVar):
        return True  # the arguments of the class say what it stands for
    within = [_plan(part, plans) for part in get_args(hint)]
    kind = get_origin(hint) or hint
    if not has_fields(kind):
        return any(within)
    if kind not in plans:
        plans[kind] = None  # it may contain itself
        names = tuple(name for name, part in fields_of(kind).items() if _plan(part, plans))
        plans[kind] = _Plan(_defaults(kind), names)
    known = plans[kind]
    return known is None or any(known)


def _defaults(kind: Any) -> dict[str, Any]:
    # Instances with slots have all of them: their class has no values.
    if not (dataclasses.is_dataclass(kind) and getattr(kind, "__dictoffset__", False)):
        return {}
    return {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }
