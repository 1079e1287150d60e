"""Change how a program gets its requests while it serves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import StartError
from sagemaker_inference._program.concurrency import Batching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._program.concurrency import Concurrency

_OPTIONS: Final = ("max_batch_size", "max_batch_delay")


def changed(declared: Concurrency, options: Mapping[str, Any]) -> Concurrency:
    """What the program says of its requests, with other options.

    Args:
        declared: what the program says.
        options: those that are to be other ones; see `Application.configure`.

    Raises:
        StartError: an option is unknown or has a value that cannot be used.
    """
    problem = _problem(declared, options)
    if problem:
        raise StartError(problem)
    size = options.get("max_batch_size", declared.max_batch_size)
    limits = {path: min(size, limit) for path, limit in declared.batch_limits.items()}
    return replace(declared, **options, batch_limits=limits)


def _problem(declared: Concurrency, options: Mapping[str, Any]) -> str | None:
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        return f"{unknown[0]} is not an option; there are {' and '.join(_OPTIONS)}"
    most = declared.max_batch_size
    if options and most == 1:
        return "the program takes no batches: its predictor has no max_batch_size"
    problem = Batching(**options).problem()
    if problem is None and options.get("max_batch_size", 1) > most:
        problem = f"max_batch_size must be at most {most}, as the program says; got "
        problem += str(options["max_batch_size"])
    return problem
