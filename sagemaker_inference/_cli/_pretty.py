"""What a terminal shows of a response, by its type."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._cli._command import needed
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from sagemaker_inference.testing import Reply

# More rows and columns than a screen has are not looked at.
_ROWS: Final = 50
_LINES: Final = ("application/jsonlines", "application/x-jsonlines")


def shown(reply: Reply) -> Any:
    """Text, or something that rich prints."""
    name = content_types.parse(reply.content_type).name
    if name == content_types.JSON:
        try:
            return needed("rich.json").JSON(json.dumps(reply.json()))
        except ValueError:
            return reply.text
    if name == content_types.CSV:
        return _table(reply.text)
    if is_text(name):
        return reply.text.rstrip("\n")
    codec = codecs.for_content_type(reply.content_type)
    if codec is not None and codec.decode is not None and not name.startswith("image/"):
        array = reply.array()
        return f"array of shape {array.shape}, {array.dtype}\n{array}"
    size = counted(len(reply.body), "byte")
    return f"{reply.content_type}, {size}: write the body with --output FILE"


def is_text(name: str) -> bool:
    """Whether parts of a stream can be shown before its end.

    Args:
        name: the type, without parameters.
    """
    return name in _LINES or name.startswith("text/")


def _table(text: str) -> Any:
    rows = list(csv.reader(io.StringIO(text)))
    table = needed("rich.table").Table(show_header=False)
    for row in rows[:_ROWS]:
        table.add_row(*row)
    if len(rows) <= _ROWS:
        return table
    return needed("rich.console").Group(table, f"{len(rows)} rows, of which these are the first")
