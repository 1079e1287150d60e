"""What clients have in common, wherever the program runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._http.context import CUSTOM_ATTRIBUTES
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference.asgi._call import body_of
from sagemaker_inference.testing._form import form_of, is_form_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference.testing._form import Files
    from sagemaker_inference.testing._reply import Reply

# None is data: JSON's null.
NO_DATA: Final[Any] = object()


class Client(ABC):
    """Sends requests to a program.

    >>> def is_healthy(client: Client) -> bool:
    ...     return client.ping().status_code == 200
    """

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send any request.

        Args:
            method: the HTTP method.
            path: the path, with the query if there is one.
            body: the body.
            headers: the headers, of which None leaves one out.

        Raises:
            TypeError, ValueError: one of the headers cannot be sent.
        """

    def invoke(  # noqa: PLR0913 - as many parts of a request
        self,
        data: Any = NO_DATA,
        content_type: str | None = content_types.JSON,
        accept: str | None = None,
        custom_attributes: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        *,
        files: Files | None = None,
        path: str = INVOCATIONS,
    ) -> Reply:
        """Send a request to ``/invocations``, as ``invoke_endpoint`` of boto3 does.

        >>> def describe(client: Client, picture: bytes) -> Reply:
        ...     return client.invoke({"size": 64}, files={"picture": ("a.png", picture)})

        Args:
            data: bytes are the body as they are, and so is a str unless it is sent as
                ``application/json``, where it is a JSON string; anything else is written by the
                built-in format of ``content_type``. A dict of texts and numbers is also written
                as a form, for the two types of forms, or where there are ``files``, beside
                which it may be left out.
            content_type: the Content-Type of the body; None sends none.
            accept: the Accept header; None sends none.
            custom_attributes: what SageMaker calls ``CustomAttributes``.
            headers: further headers, of which None leaves one out.
            files: the files of a multipart form by name, or pairs of a name and a file. A file is
                bytes, a str, a path or an open file, or a tuple: its name and one of these, or
                its name, one of these and its Content-Type. A list has several of one name.
            path: another path of the program.

        Raises:
            TypeError: there are neither data nor files; no built-in format writes
                ``content_type``, or this one cannot write the data; a part of a form cannot be
                sent, or a header is not text.
            ValueError: a header, or a text in the charset of ``content_type``, cannot be sent; or
                files as ``content_type``.
        """
        body, content_type = body_and_type(data, content_type, files)
        named = named_headers(content_type, accept, custom_attributes, headers)
        return self.request("POST", path, body, named)

    def ping(self) -> Reply:
        """Ask for the health of the program."""
        return self.request("GET", "/ping")


def body_and_type(
    data: Any, content_type: str | None, files: Files | None
) -> tuple[bytes, str | None]:
    """The body of a request, and its Content-Type, which a form adds its boundary to.

    Raises:
        TypeError, ValueError: it cannot be written.
    """
    if data is NO_DATA:
        if files is None:
            message = "there is nothing to send: pass data (b'' is an empty body), or files"
            raise TypeError(message)
        data = None
    if not is_form_of(data, content_type, files):
        return body_of(data, content_type), content_type
    return form_of(data, content_type, files)


def named_headers(
    content_type: str | None,
    accept: str | None,
    custom_attributes: str | None,
    headers: Mapping[str, str | None] | None,
) -> dict[str, str]:
    """The headers of a request, of which None leaves one out."""
    named = {
        "Content-Type": content_type,
        "Accept": accept,
        CUSTOM_ATTRIBUTES: custom_attributes,
        **(headers or {}),
    }
    return {name: value for name, value in named.items() if value is not None}
