"""Words of a Dockerfile, with the values of variables.

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sagemaker_inference._cli._checks.rules import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"[^\W\d]\w*|\d+|[-@*#?$!]")
_OPERATOR: Final = re.compile(r":?[-+?]|[#%}]|//?")
# A quote that is not closed reaches to the end, as in docker.
_WORD: Final = r"""(?:{0}.?|'[^']*'?|"(?:{0}.|[^"{0}])*"?|[^\s'"{0}])+"""
# Linux starts no process with a longer variable; doubled 40 times, a short one fills the memory.
_LONGEST: Final = 131_072
# By what escapes a character; a Dockerfile may choose the second.
WORDS: Final = {mark: re.compile(_WORD.format(re.escape(mark)), re.DOTALL) for mark in ("\\", "`")}


class RefusedError(ValueError):
    """Docker refuses an instruction.

    Attributes:
        what: the problem.
        fix: what to do.
        is_fatal: whether the rest of the file does not say what is in the image.
        is_certain: whether docker refuses it when it builds this image.
    """

    def __init__(
        self, what: str, fix: str, *, is_fatal: bool = False, is_certain: bool = True
    ) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.is_fatal = is_fatal
        self.is_certain = is_certain


def split(text: str, escape: str = "\\") -> list[str]:
    """The words of a text, with their quotes."""
    return WORDS[escape].findall(text)


def expanded(
    text: str, variables: Mapping[str, str], escape: str = "\\", *, has_quotes: bool = True
) -> str:
    """A text with the values of variables, and without its quotes.

    Patterns that change a value (``${A#...}``, ``${A%...}``, ``${A/...}``) are not applied.

    Args:
        text: the text.
        variables: their values, by name.
        escape: what takes the meaning of the character behind it.
        has_quotes: whether quotes mean something, as they do but in heredocs.

    Raises:
        RefusedError: a quote or a brace is not closed, what is in braces is not known, or values
            are longer than an instruction may have.
    """
    try:
        return _Expansion(text, variables, escape, "'\"" if has_quotes else "").up_to("")
    except RecursionError:
        what = "its variables are nested too deep"
        raise RefusedError(what, "Give them values in an ENV of their own.") from None


def expanded_by_shell(word: str, variables: Mapping[str, str]) -> str:
    """A word of a command as a shell expands it; unchanged where only a shell could read it."""
    try:
        return expanded(word, variables)
    except RefusedError:
        return word


class _Expansion:
    """Reads a text once, so that what is in a value is not expanded again."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, quotes: str) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._quotes = quotes
        self._at = 0
        self._length = 0

    def up_to(self, end: str) -> str:
        """The text up to a character, which is read too; "" for the whole text."""
        parts: list[str] = []
        while (char := self._next()) != end:
            if not char:
                what = f"{end} is missing in {quoted(self._text)}"
                raise RefusedError(
                    what, f"Close it, or write {self._escape} before what begins it."
                )
            if char == "$":
                char = self._bounded(self._variable())
            elif char == self._escape:
                char = self._escaped(is_quoted=end == '"')
            elif char == '"' and char in self._quotes:
                char = self.up_to(char)
            elif char == "'" and char in self._quotes and end != '"':
                char = self._literal()
            parts.append(char)
        return "".join(parts)

    def _bounded(self, value: str) -> str:
        self._length += len(value)
        if self._length > _LONGEST:
            what = f"the variables in {quoted(self._text)} have more than {_LONGEST} characters"
            raise RefusedError(what, "Shorten them: Linux starts no process with such a value.")
        return value

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _matched(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _escaped(self, *, is_quoted: bool) -> str:
        char = self._next()
        return self._escape + char if is_quoted and char not in f'"${self._escape}' else char

    def _literal(self) -> str:
        begin, end = self._at, self._text.find("'", self._at)
        if end < 0:
            what = f"' is missing in {quoted(self._text)}"
            raise RefusedError(what, f"Close the quote, or write {self._escape} before it.")
        self._at = end + 1
        return self._text[begin:end]

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] != "{":
            name = self._matched(_NAME)
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        name, operator = self._matched(_NAME), self._matched(_OPERATOR)
        if not (name and operator):
            what = f"docker does not know the ${{...}} in {quoted(self._text)}"
            raise RefusedError(what, "Write ${NAME}, ${NAME:-default} or ${NAME:+text}.")
        value = self._variables.get(name, "")
        if operator == "}":
            return value
        if operator[0] == "/":
            self.up_to("/")
        word = self.up_to("}")
        is_set = bool(value) or (name in self._variables and ":" not in operator)
        if operator[-1] == "+":
            return word if is_set else ""
        return word if operator[-1] == "-" and not is_set else value
