"""The context that handlers may take: facts about the request, settings for the response."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._http.messages import Headers, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._http.messages import Part

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_CUSTOM_ATTRIBUTES_LIMIT: Final = 1024
_INFERENCE_ID: Final = "X-Amzn-SageMaker-Inference-Id"
# Not documented: AWS's own containers read it.
_FORWARDED_API: Final = "x-amzn-sagemaker-forwarded-api"
_STREAMING: Final = {"InvokeEndpointWithResponseStream": True, "InvokeEndpoint": False}


class Context:
    """What a handler can read from the request and set on the response.

    While the model loads there is no request: headers are empty and ids are "". Other attributes
    that a handler sets while the model loads are there at each request; those that it sets at a
    request end with the request.

    >>> from sagemaker_inference import predictor
    >>> def predict(data, model, context):
    ...     if context.accept == "text/html":
    ...         context.response_headers["Cache-Control"] = "no-store"
    ...     return model[context.headers.get("Accept-Language", "en")]

    Attributes:
        model_dir: the folder of the model.
        model_name: "model", or the name under which the model was loaded over HTTP.
        gpu_id: the GPU of this worker, or None. Each worker sees its GPU as number 0.
        response_headers: headers to add to the response.
        response_content_type: overrides the Content-Type of the encoder; None keeps it.
        status: HTTP status of the response, 200 to 599; None means 200.
        manifest: always None; the name that Multi Model Server (MMS) has for the manifest of a
            model archive.
    """

    manifest: Any = None
    # Of the load, and of a handler service: where attributes that are missing here are looked up.
    _loaded: Context | None = None
    _outer: Any = None
    _properties: dict[str, Any] | None = None
    # What a program has set that calls something of its own a session.
    _own_session: Any = None
    # MMS's store of metrics, if a handler asked for it and MMS does not log it.
    own_metrics: Any = None
    _new_metrics: Callable[[dict[int, str], str], Any] | None = None

    def __init__(
        self,
        model_dir: str = "",
        gpu_id: int | None = None,
        request: Request | None = None,
        model_name: str = "model",
    ) -> None:
        self.model_dir = model_dir
        self.model_name = model_name
        self.gpu_id = gpu_id
        self._request = request or Request("", Headers())
        self.response_headers: dict[str, str] = {}
        self.response_content_type: str | None = None
        self.status: int | None = None
        self.phrase = ""

    def within(self, outer: object) -> Context:
        """Take what this context lacks from MMS's own, which loads the model; return this one."""
        self._outer = outer
        self.manifest = getattr(outer, "manifest", None)
        return self

    def for_request(
        self, request: Request, new_metrics: Callable[[dict[int, str], str], Any]
    ) -> Context:
        """Create a context of a request, which takes what it lacks from this one, of the load.

        Args:
            request: the request.
            new_metrics: creates MMS's store of metrics, for a handler that asks for it.
        """
        made = Context(self.model_dir, self.gpu_id, request, self.model_name)
        made._loaded, made._outer = self, self._outer
        made._new_metrics = new_metrics
        return made

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that are missing here.
        for source in (self._loaded, self._outer):
            if source is not None and not name.startswith("__") and hasattr(source, name):
                return getattr(source, name)
        message = f"the context has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=self)

    @property
    def headers(self) -> Headers:
        """The request's headers; look-ups are case-insensitive."""
        return self._request.headers

    @property
    def content_type(self) -> str:
        """The request's Content-Type as sent, "" if absent."""
        return self._request.content_type

    @property
    def accept(self) -> str:
        """The request's Accept as sent, "" if absent."""
        return self._request.accept

    @property
    def parts(self) -> Sequence[Part]:
        """Query parameters, then the fields of a form or the body, each with its name."""
        return self._request.parts

    @property
    def path(self) -> str:
        """The path that the request was sent to, such as "/invocations", or a WebSocket's."""
        return self._request.path

    @property
    def query(self) -> str:
        """The query of a WebSocket, as sent: ``language=en``, or ""."""
        return self._request.query or ""

    @property
    def request_id(self) -> str:
        """The id in the log and in the response header ``x-request-id``."""
        return self._request.id

    @property
    def inference_id(self) -> str | None:
        """The caller's ``InferenceId``, or None."""
        return self.headers.get(_INFERENCE_ID)

    @property
    def streaming(self) -> bool | None:
        """Whether the caller reads a stream as it comes; None where SageMaker does not say.

        True for ``InvokeEndpointWithResponseStream``, False for ``InvokeEndpoint``, which collects
        a stream before its caller gets it.
        """
        return _STREAMING.get(self.headers.find(_FORWARDED_API))

    @property
    def session(self) -> Any:
        """The session of the request, with ``id``, ``expires``, ``state`` and ``close()``.

        None where the request has none. What a handler sets here while the model loads, as any
        attribute, is there at requests without a session.
        """
        session = self._request.session
        if session is None and self._loaded is not None:
            return self._own_session or self._loaded._own_session  # noqa: SLF001 - of the same class
        return session or self._own_session

    @session.setter
    def session(self, value: Any) -> None:
        self._own_session = value

    @property
    def custom_attributes(self) -> str | None:
        """The caller's ``CustomAttributes``, or None; set it to send some with the response.

        Raises:
            ValueError: they are longer than 1,024 characters or not visible ASCII, which are
                SageMaker's limits.
        """
        return self.headers.get(CUSTOM_ATTRIBUTES)

    @custom_attributes.setter
    def custom_attributes(self, value: str) -> None:
        if len(value) > _CUSTOM_ATTRIBUTES_LIMIT or not (value.isascii() and value.isprintable()):
            message = (
                f"custom_attributes must be at most {_CUSTOM_ATTRIBUTES_LIMIT} visible ASCII "
                f"characters, got {value[:40]!r} ({len(value)} characters)"
            )
            raise ValueError(message)
        self.response_headers[CUSTOM_ATTRIBUTES] = value

    # What mms.context.Context and its RequestProcessor have, for functions written for them.
    # ``idx`` is an index into MMS's batch; a context here belongs to one request: it is ignored.

    @property
    def system_properties(self) -> dict[str, Any]:
        """MMS's dict of facts about the model; what model_fn adds is still there at a request."""
        return self._system_properties

    @property
    def _system_properties(self) -> dict[str, Any]:
        if self._loaded is not None:
            return self._loaded._system_properties  # noqa: SLF001 - of the same class
        if self._properties is None:
            self._properties = {
                "model_dir": self.model_dir,
                "gpu_id": self.gpu_id,
                "batch_size": 1,
                "server_name": "MMS",
                "server_version": _server_version(),
                **_properties_of(self._outer),
            }
        return self._properties

    @property
    def metrics(self) -> Any:
        """MMS's store of metrics, which are logged after the request; None while loading."""
        outer = getattr(self._outer, "metrics", None)
        if self.own_metrics is None and outer is not None:
            return outer
        if self.own_metrics is None and self._new_metrics is not None:
            self.own_metrics = self._new_metrics(self.request_ids, self.model_name)
        return self.own_metrics

    @metrics.setter
    def metrics(self, value: Any) -> None:
        self.own_metrics = value

    @property
    def _metrics(self) -> Any:
        return self.own_metrics

    @_metrics.setter
    def _metrics(self, value: Any) -> None:
        self.own_metrics = value

    @property
    def request_processor(self) -> list[Context]:
        """MMS's list with one object per request of the batch."""
        return self._request_processor

    @property
    def _request_processor(self) -> list[Context]:
        return [self]

    @property
    def request_ids(self) -> dict[int, str]:
        """MMS's request ids by index in the batch."""
        return {0: self.request_id}

    @property
    def _request_header(self) -> Headers:
        return self.headers

    @property
    def _response_header(self) -> dict[str, str]:
        return self.response_headers

    @property
    def _status_code(self) -> int:
        return self.status or HTTPStatus.OK

    @property
    def _reason_phrase(self) -> str | None:
        return self.phrase or None

    def get_request_id(self, idx: int = 0) -> str:  # noqa: ARG002
        """The request id."""
        return self.request_id

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        """A request header, or None."""
        return self.headers.get(key)

    def get_all_request_header(self, idx: int = 0) -> Headers:  # noqa: ARG002
        """All request headers."""
        return self.headers

    def get_request_property(self, key: str) -> str | None:
        """A request header, or None."""
        return self.headers.get(key)

    def get_request_properties(self) -> Headers:
        """All request headers."""
        return self.headers

    def set_response_content_type(self, idx: int, value: str) -> None:  # noqa: ARG002
        """Set the Content-Type of the response."""
        self.response_content_type = value

    def get_response_content_type(self, idx: int = 0) -> str | None:  # noqa: ARG002
        """The Content-Type that was set, or None."""
        return self.response_content_type

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002
        """Set a header of the response."""
        self.add_response_property(key, value)

    def add_response_property(self, key: str, value: str) -> None:
        """Set a header of the response; in MMS, the Content-Type is one of them."""
        if key.lower() == "content-type":
            self.response_content_type = value
        else:
            self.response_headers[key] = value

    def get_response_headers(self, idx: int = 0) -> dict[str, str]:  # noqa: ARG002
        """The headers set for the response."""
        return self.response_headers

    def get_response_header(self, key: str) -> str | None:
        """A header set for the response, or None."""
        if key.lower() == "content-type":
            return self.response_content_type
        return self.response_headers.get(key)

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002
        """Set the status and reason phrase of the response."""
        self.report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status and reason phrase of the response."""
        self.report_status(code, phrase)

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the status and reason phrase of the response."""
        self.status, self.phrase = code, reason_phrase or ""

    def get_response_status(self, idx: int = 0) -> tuple[int, str]:  # noqa: ARG002
        """The status and reason phrase of the response."""
        return self._status_code, self.phrase

    def get_response_status_code(self) -> int:
        """The status of the response."""
        return self._status_code

    def get_response_status_phrase(self) -> str | None:
        """The reason phrase that was set, or None."""
        return self._reason_phrase


def _properties_of(context: Any) -> dict[str, Any]:
    properties = getattr(context, "system_properties", None)
    return dict(properties) if isinstance(properties, dict) else {}


@cache
def _server_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("multi-model-server")
    except metadata.PackageNotFoundError:
        return ""
