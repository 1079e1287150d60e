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


class Reply:
    """A response.

    Attributes:
        status_code: the HTTP status.
        headers: the headers; look-ups are case-insensitive.
        body: the bytes.
        error: what the handler raised, where the program failed in this process; else None.
    """

    def __init__(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        error: BaseException | None = None,
    ) -> None:
        self.status_code = status_code
        self.headers = Headers(headers)
        self.body = body
        self.error = error

    def __repr__(self) -> str:
        return f"<Reply {self.status_code} {self.content_type} {self.body[:60]!r}>"

    @property
    def content_type(self) -> str:
        """The Content-Type, "" if there is none."""
        return self.headers.content_type

    @property
    def text(self) -> str:
        """The body as text, by the charset of the Content-Type."""
        charset = content_types.parse(self.content_type).parameters.get("charset", "utf-8")
        return self.body.decode(charset)

    @property
    def traceback(self) -> str:
        """The traceback of the handler, where the program failed in this process; else ""."""
        if self.error is None:
            return ""
        return "".join(traceback.format_exception(*users_exc_info(self.error)))

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
        """Return the reply if its status is below 400.

        Raises:
            BaseException: what the handler raised, with its traceback.
            GenericInferenceToolkitError: the status and the body, where nothing else is known.
        """
        if self.status_code < HTTPStatus.BAD_REQUEST:
            return self
        if self.error is not None:
            raise self.error
        raise GenericInferenceToolkitError(self.status_code, self.body.decode(errors="replace"))
