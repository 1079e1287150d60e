"""One environment variable: its name, its default and how its text is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


class EnvironmentVariableError(StartError, ValueError):
    """An environment variable has a value that cannot be used; the message names both.

    >>> import os
    >>> from sagemaker_inference.environment import Environment
    >>> os.environ["SAGEMAKER_STARTUP_TIMEOUT"] = "soon"
    >>> try:
    ...     Environment()
    ... except EnvironmentVariableError as error:
    ...     print(str(error).partition(" is")[0])
    ... finally:
    ...     del os.environ["SAGEMAKER_STARTUP_TIMEOUT"]
    SAGEMAKER_STARTUP_TIMEOUT='soon'
    """


@dataclass(frozen=True)
class Variable(Generic[_T]):
    """An environment variable.

    Attributes:
        name: its name.
        parse: makes a value of its text; raises ValueError with what is wrong and how to fix it.
        default: the value where it is unset or empty.
        meaning: what it is for, as the reference page says it.
        unit: the unit of its value, as the reference page names it.
        default_text: the default as the reference page writes it, where that is not the value.
    """

    name: str
    parse: Callable[[str], _T]
    default: _T
    meaning: str
    unit: str = ""
    default_text: str | None = None

    @property
    def text(self) -> str:
        """What the environment says, without blanks around it; "" where it is unset."""
        return os.environ.get(self.name, "").strip()

    def read(self) -> _T:
        """The value.

        Raises:
            EnvironmentVariableError: the text cannot be used.
        """
        text = self.text
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            message = f"{self.name}={os.environ[self.name]!r} {error}"
            raise EnvironmentVariableError(message) from None


def markdown_table(
    variables: Iterable[Variable[Any]], others: Iterable[tuple[str, str, str, str]]
) -> str:
    """Variables as a Markdown table: name, meaning, default, unit.

    Args:
        variables: variables.
        others: rows for variables that are read elsewhere.
    """
    rows = [
        (variable.name, variable.meaning, _default_text(variable), variable.unit)
        for variable in variables
    ]
    lines = ["| name | meaning | default | unit |", "| --- | --- | --- | --- |"]
    for name, *cells in (*rows, *others):
        lines.append(" ".join(["|", f"`{name}`", *(f"| {cell}".rstrip() for cell in cells), "|"]))
    return "\n".join(lines) + "\n"


def _default_text(variable: Variable[Any]) -> str:
    if variable.default_text is not None:
        return variable.default_text
    default = variable.default
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, str) else str(default)
