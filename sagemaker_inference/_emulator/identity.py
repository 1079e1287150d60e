"""The names that the platform puts into answers."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

# Of no one: AWS's documentation uses it in examples.
ACCOUNT: Final = "123456789012"
# The endpoint's name in the request that this task answers; "" outside one.
called_endpoint: Final[ContextVar[str]] = ContextVar("called_endpoint", default="")


@dataclass(frozen=True, slots=True)
class Identity:
    """An endpoint.

    Attributes:
        endpoint: its name, where a request does not call it by another.
        region: the AWS Region.
        account: the number of the account.
        variant: its production variant.
        container: how error texts call the container.
    """

    endpoint: str
    region: str = "us-east-1"
    account: str = ACCOUNT
    variant: str = "AllTraffic"
    container: str = "primary"

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource of SageMaker."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name}"

    @property
    def called(self) -> str:
        """Its name in the request that is answered."""
        return called_endpoint.get() or self.endpoint

    @property
    def log_group(self) -> str:
        """Where CloudWatch has the container's log."""
        return f"/aws/sagemaker/Endpoints/{self.called}"

    @property
    def log_url(self) -> str:
        """The page with the container's log."""
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home?region={self.region}"
            f"#logEventViewer:group={self.log_group}"
        )

    @property
    def log_arn(self) -> str:
        """The container's log, for programs."""
        return f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.log_group}"
