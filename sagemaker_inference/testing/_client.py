"""What clients have in common, wherever the program runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._http.context import CUSTOM_ATTRIBUTES
from sagemaker_inference._ipc.messages import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference.testing._reply import Reply

_BYTES: Final = (bytes, bytearray, memoryview)


class Client(ABC):
    """Sends requests to a program."""

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request.

        Args:
            method: the HTTP method.
            path: the path, with the query if there is one.
            body: the body.
            headers: the headers.
        """

    def invoke(
        self,
        data: Any,
        content_type: str = content_types.JSON,
        accept: str | None = None,
        custom_attributes: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request to ``/invocations``, as ``invoke_endpoint`` of boto3 does.

        Args:
            data: bytes are the body as they are, and so is a str unless it is sent as
                ``application/json``, where it is a JSON string; anything else is written by the
                built-in format of ``content_type``.
            content_type: the Content-Type of the body.
            accept: the Accept header; None sends none.
            custom_attributes: what SageMaker calls ``CustomAttributes``.
            headers: further headers.

        Raises:
            TypeError: no built-in format writes ``content_type``.
        """
        named = {
            "Content-Type": content_type,
            "Accept": accept,
            CUSTOM_ATTRIBUTES: custom_attributes,
            **(headers or {}),
        }
        present = {name: value for name, value in named.items() if value is not None}
        return self.request("POST", INVOCATIONS, _body(data, content_type), present)

    def ping(self) -> Reply:
        """Ask for the health of the program."""
        return self.request("GET", "/ping")


def _body(data: Any, content_type: str) -> bytes:
    if isinstance(data, _BYTES):
        return bytes(data)
    parsed = content_types.parse(content_type)
    if isinstance(data, str) and parsed.name != content_types.JSON:
        return data.encode(parsed.parameters.get("charset", "utf-8"))
    codec = codecs.for_content_type(content_type)
    if codec is None or codec.encode is None:
        message = (
            f"no built-in format writes {content_type!r}: pass the body as bytes or str, not "
            f"{type(data).__name__}"
        )
        raise TypeError(message)
    encoded = codec.encode(data, content_type)
    return encoded.encode() if isinstance(encoded, str) else bytes(encoded)
