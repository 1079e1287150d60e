"""What came back."""

from __future__ import annotations

import json
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import GenericInferenceToolkitError
from sagemaker_inference._http.messages import Headers
from sagemaker_inference._log import users_exc_info

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np


class Head:
    """What is known of a response before its body.

    Args:
        status_code: the HTTP status.
        headers: the headers.
    """

    def __init__(self, status_code: int, headers: Iterable[tuple[str, str]]) -> None:
        self.status_code = status_code
        self.headers = Headers(headers)

    @property
    def content_type(self) -> str:
        """The Content-Type, "" if there is none."""
        return self.headers.content_type

    @property
    def _charset(self) -> str:
        return content_types.parse(self.content_type).parameters.get("charset", "utf-8")


class Reply(Head):
    """A response.

    >>> reply = Reply(200, [("Content-Type", "application/json")], b"[1, 2]")
    >>> reply.json(), reply.array().shape
    ([1, 2], (2,))

    Attributes:
        status_code: the HTTP status.
        headers: the headers; look-ups are case-insensitive.
        body: the bytes.
        error: what the handler raised, where the program failed in this process; else None.
        is_complete: whether the end of the body has come; a stream that fails breaks off.
    """

    def __init__(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        error: BaseException | None = None,
        *,
        is_complete: bool = True,
    ) -> None:
        super().__init__(status_code, headers)
        self.body = body
        self.error = error
        self.is_complete = is_complete

    def __repr__(self) -> str:
        return f"<Reply {self.status_code} {self.content_type} {self.body[:60]!r}>"

    @property
    def text(self) -> str:
        """The body as text, by the charset of the Content-Type."""
        return self.body.decode(self._charset)

    @property
    def traceback(self) -> str:
        """The traceback of the handler, where the program failed in this process; else ""."""
        return traceback_of(self.error)

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def array(self) -> np.ndarray[Any, Any]:
        """The body, read by its Content-Type, as an array.

        Raises:
            TypeError: no built-in format reads it.
        """
        import numpy as np

        codec = codecs.for_content_type(self.content_type)
        if codec is None or codec.decode is None:
            message = f"no built-in format reads {self.content_type!r}: use body"
            raise TypeError(message)
        return np.asarray(codec.decode(self.body, self.content_type))

    def raise_for_status(self) -> Reply:
        """Return the reply if its status is below 400 and its body is complete.

        Raises:
            BaseException: what the handler raised, with its traceback.
            GenericInferenceToolkitError: the status and the body, where nothing else is known.
        """
        if self.status_code < HTTPStatus.BAD_REQUEST and self.is_complete:
            return self
        if self.error is not None:
            raise self.error
        raise GenericInferenceToolkitError(self.status_code, self.body.decode(errors="replace"))


def traceback_of(error: BaseException | None) -> str:
    """The traceback of a handler, without this package's own lines at its beginning; "" of None."""
    if error is None:
        return ""
    return "".join(traceback.format_exception(*users_exc_info(error)))
