"""The paths that a program adds to those of the platform, and what they may be.

Decorators that take a path check it here: ``@predictor("/v1/chat/completions")``.
"""

from __future__ import annotations

import re
from typing import Final

from sagemaker_inference._errors import RegistrationError

INVOCATIONS: Final = "/invocations"
# Of a WebSocket, where the program names no other.
BIDIRECTIONAL: Final = "/invocations-bidirectional-stream"
# Below it, errors and event streams are those of OpenAI's API.
OPENAI: Final = "/v1/"
# Answered by the server where the program has paths of OpenAI's API.
OPENAI_MODELS: Final = "/v1/models"
# Describes the program, where the server is asked to.
OPENAPI: Final = "/openapi.json"

# What the platform asks of a container, and what the server answers itself.
_RESERVED: Final = frozenset(
    {
        INVOCATIONS,
        BIDIRECTIONAL,
        OPENAI_MODELS,
        "/ping",
        "/metrics",
        "/execution-parameters",
        OPENAPI,
    }
)
# These and all below them: the models of a server with many, their adapters, and the older name of
# /models/NAME/invoke.
_RESERVED_ABOVE: Final = frozenset({"models", "adapters", "predictions"})
# SageMaker allows no longer ones.
_LONGEST: Final = 256
_EXAMPLE: Final = "/v1/chat/completions"
# RFC 3986, 3.3, without percent-encoding: one path has one spelling. "*" is any segment to the
# front end.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@-]+")


def checked(decorator: str, path: object, default: str = INVOCATIONS) -> str:
    """The path that a decorator was given.

    Args:
        decorator: its name.
        path: its argument.
        default: the path that it has without one.

    Raises:
        RegistrationError: it is not a path, or it is one of the platform's.
    """
    problem = _problem(decorator, path, default)
    if problem:
        message = f"@{decorator} got the path {path!r}, {problem}"
        raise RegistrationError(message)
    return str(path)


def is_openai(path: str) -> bool:
    """Whether errors and event streams of a path are those of OpenAI's API."""
    return path.startswith(OPENAI)


def _problem(decorator: str, path: object, default: str) -> str:
    correct = f'Write a path such as @{decorator}("{_EXAMPLE}").'
    if not (isinstance(path, str) and path):
        return f"which is not a path. {correct}"
    if not path.startswith("/"):
        return f'which does not begin with "/". Write: @{decorator}("/{path}")'
    if path == default:
        return f"which it has without an argument. Write: @{decorator}"
    segments = path[1:].split("/")
    if path in _RESERVED or segments[0] in _RESERVED_ABOVE:
        return f"which is the platform's. {correct}"
    if len(path) > _LONGEST:
        return f"which has {len(path)} characters, of at most {_LONGEST}. {correct}"
    problem = next(filter(None, map(_problem_of_segment, segments)), "")
    return problem and f"{problem}. {correct}"


def _problem_of_segment(segment: str) -> str:
    if segment in {"", ".", ".."}:
        return f"which has the segment {segment!r}"
    if _SEGMENT.fullmatch(segment):
        return ""
    return (
        f"whose segment {segment!r} has characters other than letters, digits and "
        "-._~!$&'()+,;=:@ (a path matches as it is: it takes no parameters)"
    )
