"""What the platform says when a request fails, in its own words.

Each text has its source in docs/emulate.md, or is marked there as one that is not known.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._emulator.identity import Identity


class PlatformError(Exception):
    """The answer to a request that fails.

    Args:
        status: the HTTP status.
        code: the name of the error, by which boto3 chooses the exception's class.
        message: what happened.
        **members: further members of the error.
    """

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.members = members

    def response(self, request_id: str) -> Response:
        """The answer, in the form of the protocol rest-json."""
        body = json.dumps({"Message": self.message, **self.members})
        headers = {"x-amzn-ErrorType": self.code, "x-amzn-RequestId": request_id}
        return Response(body, self.status, headers, "application/json")


def validation_error(message: str, status: int = 400) -> PlatformError:
    """The caller's request is not valid."""
    return PlatformError(status, "ValidationError", message)


def invalid(message: str) -> PlatformError:
    """The same, of an operation of the control plane."""
    return PlatformError(400, "ValidationException", message)


def of_constraints(problems: Sequence[str]) -> str:
    """What the platform says of members that break constraints, each with a text of its own."""
    noun = "error" if len(problems) == 1 else "errors"
    return f"{len(problems)} validation {noun} detected: {'; '.join(problems)}"


def endpoint_not_found(name: str, identity: Identity) -> PlatformError:
    """There is no such endpoint, or it is not in service."""
    return validation_error(f"Endpoint {name} of account {identity.account} not found.")


def too_large(request_id: str, status: int) -> PlatformError:
    """The body of a request is larger than the endpoint takes."""
    return validation_error(f"Request {request_id} has oversize body.", status)


def service_unavailable() -> PlatformError:
    """No instance takes requests."""
    return PlatformError(503, "ServiceUnavailable", "The service is unavailable. Try again.")


def internal_failure() -> PlatformError:
    """The platform itself failed."""
    return PlatformError(500, "InternalFailure", "An internal failure occurred. Try again.")


def model_not_ready() -> PlatformError:
    """One of many models is still being loaded."""
    return PlatformError(
        429,
        "ModelNotReadyException",
        "Model is not ready for inference. Wait and try your request again.",
    )


def model_error(identity: Identity, status: int, message: str | None) -> PlatformError:
    """The container has failed.

    Args:
        identity: the endpoint.
        status: the container's status; 0 where it did not answer.
        message: the body of its answer; None where it could not be read.
    """
    whose = "client" if 400 <= status < 500 else "server"  # noqa: PLR2004 - classes of statuses
    said = "and could not load the entire response body"
    if message is not None:
        said = f'with message "{message}"'
    text = (
        f"Received {whose} error ({status}) from {identity.container} {said}. See "
        f"{identity.log_url} in account {identity.account} for more information."
    )
    return PlatformError(
        424,
        "ModelError",
        text,
        OriginalStatusCode=status,
        OriginalMessage=message or "",
        LogStreamArn=identity.log_arn,
    )


def timed_out(identity: Identity) -> PlatformError:
    """The container did not answer in time."""
    message = (
        f"Your invocation timed out while waiting for a response from container "
        f"{identity.container}. Review the latency metrics for each container in Amazon "
        "CloudWatch, resolve the issue, and try again."
    )
    return model_error(identity, 0, message)


def no_response(identity: Identity) -> PlatformError:
    """The container did not accept a connection, or closed it without an answer."""
    message = (
        f"Amazon SageMaker could not get a response from the {identity.called} endpoint. This can "
        "occur when CPU or memory utilization is high. To check your utilization, see Amazon "
        "CloudWatch. To fix this problem, use an instance type with more CPU capacity or memory."
    )
    return model_error(identity, 0, message)
