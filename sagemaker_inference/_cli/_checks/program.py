"""Rules about the program, which another process imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._cli._checks.rules import Finding, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.target import Target


def _failed(target: Target, phase: str) -> Iterator[Finding]:
    assert target.program is not None  # noqa: S101 - the rule needs it
    if target.inspection.phase == phase:
        what, _, fix = target.inspection.problem.partition(". ")
        where = target.program.path or target.program.module
        yield Finding(target.label(where), what, fix or "Correct this line.")


@rule(
    "program-imports",
    "error",
    "program",
    asks="a program that can be imported",
    why="workers import it when the container starts; a failure ends the start, and the endpoint "
    "fails with 'did not pass the ping health check'",
)
def imports(target: Target) -> Iterator[Finding]:
    """Yield why it cannot be imported."""
    return _failed(target, "import")


@rule(
    "program-handlers",
    "error",
    "program",
    asks="a model loader, and a predictor or transformer",
    why="the container has to answer `POST /invocations`",
)
def is_complete(target: Target) -> Iterator[Finding]:
    """Yield what is missing."""
    return _failed(target, "assembly")


@rule(
    "program-hints",
    "warning",
    "import",
    asks="a type hint for the input, or a decoder",
    why="with one, a body that does not fit is the client's error (422) rather than the model's "
    "(500), which alarms count and routers answer with a failover",
)
def has_hints(target: Target) -> Iterator[Finding]:
    """Yield a predictor without hints."""
    assert target.program is not None  # noqa: S101 - the rule needs it
    found = target.inspection
    if not found.is_hinted:
        where = target.label(found.file or target.program.path)
        yield Finding(
            f"{where}, line {found.line}" if found.file else where,
            "its input has no type hint",
            "Annotate it, e.g. data: np.ndarray, or data: list[Item] with a dataclass.",
        )
