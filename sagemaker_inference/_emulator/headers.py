"""Which headers of the caller reach the container, which of the container the caller, and how.

"Amazon SageMaker AI strips all POST headers except those supported by the API."
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

_ROOT: Final = "X-Amzn-SageMaker-"
CUSTOM_ATTRIBUTES: Final = f"{_ROOT}Custom-Attributes"
FORWARDED_API: Final = f"{_ROOT}Forwarded-Api"
INFERENCE_COMPONENT: Final = f"{_ROOT}Inference-Component"
INFERENCE_ID: Final = f"{_ROOT}Inference-Id"
SESSION_ID: Final = f"{_ROOT}Session-Id"
NEW_SESSION_ID: Final = f"{_ROOT}New-Session-Id"
CLOSED_SESSION_ID: Final = f"{_ROOT}Closed-Session-Id"
TARGET_MODEL: Final = f"{_ROOT}Target-Model"
TARGET_VARIANT: Final = f"{_ROOT}Target-Variant"
ROUTING_TARGET: Final = f"{_ROOT}Routing-Target-Name"
ROUTED_RESOURCE: Final = f"{_ROOT}Invoked-Routed-Resource-Arn"
ROUTING_REASON: Final = f"{_ROOT}Invoked-Routing-Reason"
INVOKED_VARIANT: Final = "x-Amzn-Invoked-Production-Variant"
# What a session is asked for with.
NEW_SESSION: Final = "NEW_SESSION"
_MOST_ATTRIBUTES: Final = 1024
_NEW_SESSION_VALUE: Final = re.compile(
    r"[a-zA-Z0-9](-*[a-zA-Z0-9])*;\sExpires=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
)
_VISIBLE: Final = re.compile(r"[\x20-\x7e\t]*")

# By operation: the caller's header -> the container's.
_COMMON: Final = {
    name: name
    for name in (
        CUSTOM_ATTRIBUTES,
        INFERENCE_ID,
        SESSION_ID,
        TARGET_VARIANT,
        # Of inference components that are adapters.
        f"{_ROOT}Adapter-Identifier",
        f"{_ROOT}Adapter-Alias",
    )
}
INVOKE: Final = {
    "Content-Type": "Content-Type",
    "Accept": "Accept",
    TARGET_MODEL: TARGET_MODEL,
    **_COMMON,
}
STREAM: Final = {"Content-Type": "Content-Type", f"{_ROOT}Accept": "Accept", **_COMMON}
ASYNC: Final = {
    f"{_ROOT}Content-Type": "Content-Type",
    f"{_ROOT}Accept": "Accept",
    CUSTOM_ATTRIBUTES: CUSTOM_ATTRIBUTES,
    INFERENCE_ID: INFERENCE_ID,
}


class _Constraint(NamedTuple):
    """What the API's model says of a member."""

    member: str
    longest: int
    pattern: str = ""
    # Error texts do not repeat its value.
    is_sensitive: bool = False

    def problem(self, value: str) -> str | None:
        """What the platform says of a value; None if it is allowed."""
        if len(value) > self.longest:
            broken = f"have length less than or equal to {self.longest}"
        elif self.pattern and not re.fullmatch(self.pattern, value):
            broken = f"satisfy regular expression pattern: {self.pattern}"
        else:
            return None
        shown = "Value" if self.is_sensitive else f"Value '{value}'"
        return f"{shown} at '{self.member}' failed to satisfy constraint: Member must {broken}"


_NAME: Final = "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_ID: Final = "[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_ASCII: Final = r"[\x00-\x7f]*"
ENDPOINT_NAME: Final = _Constraint("endpointName", 63, _ID)
ROUTER_NAME: Final = _Constraint("inferenceRouterName", 63, _ID)
_CONSTRAINTS: Final = {
    "Content-Type": _Constraint("contentType", 1024, _ASCII),
    "Accept": _Constraint("accept", 1024, _ASCII),
    f"{_ROOT}Content-Type": _Constraint("contentType", 1024, _ASCII),
    f"{_ROOT}Accept": _Constraint("accept", 1024, _ASCII),
    CUSTOM_ATTRIBUTES: _Constraint(
        "customAttributes", _MOST_ATTRIBUTES, _VISIBLE.pattern, is_sensitive=True
    ),
    INFERENCE_ID: _Constraint("inferenceId", 64, _ASCII),
    INFERENCE_COMPONENT: _Constraint("inferenceComponentName", 63, _NAME),
    SESSION_ID: _Constraint("sessionId", 256, f"({NEW_SESSION})|{_ID}"),
    TARGET_MODEL: _Constraint("targetModel", 1024, r"\S[\x20-\x7e]*"),
    TARGET_VARIANT: _Constraint("targetVariant", 63, _NAME),
    # Of asynchronous requests.
    f"{_ROOT}Filename": _Constraint("filename", 64, r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9\-_.]*"),
    f"{_ROOT}S3OutputPathExtension": _Constraint(
        "s3OutputPathExtension", 512, r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+"
    ),
    ROUTING_TARGET: _Constraint("routingTargetName", 63, _ID),
}
# A stream may belong to a session, but not begin one.
_STREAM_SESSION: Final = _Constraint("sessionId", 256, _ID)


def check(headers: Mapping[str, str], *, streams: bool = False) -> None:
    """Refuse headers that the API does not allow.

    Args:
        headers: the caller's.
        streams: the operation is InvokeEndpointWithResponseStream.

    Raises:
        PlatformError: ValidationError, in the words of the API's model.
    """
    constraints = dict(_CONSTRAINTS)
    if streams:
        constraints[SESSION_ID] = _STREAM_SESSION
    refuse(
        constraint.problem(headers[name])
        for name, constraint in constraints.items()
        if name in headers
    )


def refuse(found: object) -> None:
    """Refuse a request if there are problems.

    Args:
        found: an iterable of texts, and of None where there is no problem.

    Raises:
        PlatformError: ValidationError with all of them.
    """
    problems = [text for text in found if text]  # type: ignore[attr-defined]
    if problems:
        raise errors.validation_error(errors.of_constraints(problems))


def to_container(headers: Mapping[str, str], names: Mapping[str, str], api: str) -> dict[str, str]:
    """The headers of the container's request.

    Args:
        headers: the caller's.
        names: those of the operation.
        api: the operation.
    """
    passed = {new: headers[name] for name, new in names.items() if name in headers}
    # Not documented: AWS's own containers read it.
    return {**passed, FORWARDED_API: api}


def to_caller(headers: Mapping[str, str], variant: str) -> dict[str, str]:
    """The headers of the caller's answer, but for its type.

    What the platform is not known to pass on is left out, and reported.

    Args:
        headers: the container's.
        variant: the production variant.
    """
    passed = {INVOKED_VARIANT: variant}
    attributes = headers.get(CUSTOM_ATTRIBUTES)
    if attributes is not None:
        if len(attributes) > _MOST_ATTRIBUTES or not _VISIBLE.fullmatch(attributes):
            logger.warning(
                "the container's %s has %d characters: at most %d of visible ASCII are allowed",
                CUSTOM_ATTRIBUTES,
                len(attributes),
                _MOST_ATTRIBUTES,
            )
        else:
            passed[CUSTOM_ATTRIBUTES] = attributes
    # AWS's guide names the one, botocore's model and AWS's own containers the other.
    session = headers.get(NEW_SESSION_ID, headers.get(SESSION_ID))
    if session is not None:
        if _NEW_SESSION_VALUE.fullmatch(session):
            passed[NEW_SESSION_ID] = session
        else:
            logger.warning(
                "the container's new session id is %r: it has to look like "
                "ID; Expires=2026-01-31T23:59:59Z",
                session,
            )
    if CLOSED_SESSION_ID in headers:
        passed[CLOSED_SESSION_ID] = headers[CLOSED_SESSION_ID]
    return passed


def to_stream_caller(headers: Mapping[str, str], variant: str) -> dict[str, str]:
    """The headers of a caller's stream, but for its own type: those of sessions are not among them.

    Args:
        headers: the container's.
        variant: the production variant.
    """
    passed = to_caller(headers, variant)
    passed.pop(NEW_SESSION_ID, None)
    passed.pop(CLOSED_SESSION_ID, None)
    if "content-type" in headers:
        passed[f"{_ROOT}Content-Type"] = headers["content-type"]
    return passed
