"""JSONPaths of transform jobs: the operators that the platform supports, and no others.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

from __future__ import annotations

import re
from typing import Final

_QUOTED: Final = r"""(?:'(?:[^'\\\x00-\x1f]|\\['\\])+'|"(?:[^"\\\x00-\x1f]|\\["\\])+")"""
_NUMBER: Final = r"-?\d{1,9}"
_ITEM: Final = rf"(?:(?:{_NUMBER})?:(?:{_NUMBER})?|{_NUMBER})"


def _listed(item: str) -> str:
    return rf" *{item} *(?:, *{item} *)*"


# As in "$.features", "$.*", "$['id','SageMakerOutput']", "$[0,5:]" and "$.field1.['a','b']".
_BRACKETS: Final = rf"\.?(\[(?:{_listed(_QUOTED)}|{_listed(_ITEM)}| *\* *)\])"
_NAME: Final = r"""\.([^\s\x00-\x1f.\[\](){}'"*?@$&|,:\\]+)"""
_SEGMENT: Final = re.compile(rf"{_BRACKETS}|{_NAME}|\.\*")


def readable(path: str) -> str | None:
    """A path as libraries read it, some of which do not know all that the platform takes.

    >>> readable("$.field1.['a','b']"), readable("$..a")
    ("$['field1']['a','b']", None)

    Args:
        path: the path.

    Returns:
        The path; None if it is not one of the operators that the platform supports.
    """
    if not path.startswith("$"):
        return None
    parts, position = ["$"], 1
    while position < len(path):
        segment = _SEGMENT.match(path, position)
        if segment is None:
            return None
        brackets, name = segment.groups()
        parts.append(brackets or (f"['{name}']" if name else "[*]"))
        position = segment.end()
    return "".join(parts)
