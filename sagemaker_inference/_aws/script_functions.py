"""What AWS's script functions are told about a request, in AWS's spelling.

``input_fn(body, content_type)`` and ``output_fn(prediction, accept)`` of existing programs compare
what they are told with ``"application/json"``, or look in it for a parameter of their own
(``application/json;verbose``, ``text/csv; label_size=0``). So what this package has dealt with is
taken out (case, charset, quality, wildcards), and everything else is left in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._inference import annotations as type_hints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference.codecs import Body

_ITEM: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
# What the functions of AWS's toolkit write; the first stands for "anything".
_WRITABLE: Final = (content_types.JSON, content_types.CSV, content_types.NPY)


def body(given: Body, header: str) -> str | Body:
    """JSON and CSV as str, anything else as it came.

    Raises:
        DecodeError: it is not in the charset that the header names.
    """
    if content_types.parse(header).name in content_types.UTF8_TYPES:
        return type_hints.as_text(given, header)
    return bytearray(given)


def content_type(header: str) -> str | None:
    """The Content-Type as a script is told it; None where the client sent none."""
    if not header.strip():
        return None
    name, *parameters = header.split(";")
    name = name.strip().lower()
    if name in content_types.UTF8_TYPES:
        # Its charset was honoured when the body became str.
        parameters = _without(parameters, "charset")
    return ";".join([name, *parameters])


def preferences(header: str) -> list[str]:
    """The types of an Accept header, the most wanted first, without quality and charset."""
    found: list[tuple[float, str]] = []
    for item in _ITEM.findall(header):
        ranges = content_types.parse_accept(item)
        if not ranges or ranges[0][1] == 0:
            continue
        parameters = _without(item.split(";")[1:], "q", "charset")
        found.append((-ranges[0][1], ";".join([ranges[0][0], *parameters])))
    found.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(text for _, text in found))


def accept(header: str, default: str) -> str:
    """The Accept header as a script is told it: what is wanted, the most wanted first.

    Args:
        header: what the client sent.
        default: what to answer with where the client leaves the choice.
    """
    told: list[str] = []
    for text in preferences(header):
        offers = (default, *_WRITABLE) if text != content_types.ANY else (default,)
        told += [name for name in offers if content_types.matches(text, name)] or [text]
    return ",".join(dict.fromkeys(told)) or default


def response_type(told: str) -> str:
    """What an answer is taken for whose function does not say: the first that is known."""
    names = [content_types.parse(text).name for text in told.split(",")]
    return next((name for name in names if name in _WRITABLE), names[0])


def _without(parameters: Sequence[str], *names: str) -> list[str]:
    return [text for text in parameters if text.partition("=")[0].strip().lower() not in names]
