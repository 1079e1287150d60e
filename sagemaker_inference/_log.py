"""The package's logger, the container's log level, and what a program's log looks like by default.

Lines have one format of time, and the id of the request that they belong to.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from sagemaker_inference import _parsers, _variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    class SupportsWrite(Protocol):
        def write(self, text: str, /) -> object: ...
        def flush(self) -> object: ...


_NAME: Final = "sagemaker-inference"
_PACKAGE: Final = str(Path(__file__).parent)
_FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


# The id of the request that this thread or task works on, or the ids of a batch; "" outside one.
current_request: Final[ContextVar[str]] = ContextVar("sagemaker_inference_request", default="")


def get_logger() -> logging.Logger:
    """The logger named "sagemaker-inference".

    >>> get_logger().name
    'sagemaker-inference'
    """
    logger = logging.getLogger(_NAME)
    # A subclass of somebody's own is left alone.
    if type(logger) is logging.Logger:
        # The documented way to choose a class, setLoggerClass, is for all loggers of a process.
        logger.__class__ = _ToolkitLogger
    return logger


class _ToolkitLogger(logging.Logger):
    """A logger whose errors reach the log, whatever a program configures.

    A failed request's client is told that the log has the cause. `logging.config` disables loggers
    that it does not know, ``logging.disable`` disables all, and handlers may raise.
    """

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name in logging
        return super().isEnabledFor(level) or _is_loud(level)

    def handle(self, record: logging.LogRecord) -> None:
        if self.disabled and _is_loud(record.levelno):
            self.callHandlers(record)
        else:
            super().handle(record)

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as above
        is_loud = _is_loud(record.levelno)
        try:
            if not is_loud or _reaches_console(record):
                super().callHandlers(record)
                return
            if self.hasHandlers():
                super().callHandlers(record)
        except Exception:
            if not is_loud:
                raise
        _handler().handle(record)


def _is_loud(level_number: int) -> bool:
    return level_number >= logging.ERROR and level_number >= level()


def _reaches_console(record: logging.LogRecord, besides: logging.Handler | None = None) -> bool:
    """Whether a handler other than ``besides`` writes a record to the console."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            is_other = handler is not besides and record.levelno >= handler.level
            if is_other and _is_console(handler):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _is_console(handler: logging.Handler) -> bool:
    if isinstance(handler, logging.StreamHandler):
        return not isinstance(handler, logging.FileHandler)
    # rich writes to a console of its own; a queue is usually read by a handler that writes to one.
    handlers = sys.modules.get("logging.handlers")
    is_queue = handlers is not None and isinstance(handler, handlers.QueueHandler)
    return is_queue or hasattr(handler, "console")


class RequestIdFilter(logging.Filter):
    """Gives log records the attribute ``request_id``; "" outside a request.

    >>> import logging, sys
    >>> from sagemaker_inference.logging import RequestIdFilter
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> handler.addFilter(RequestIdFilter())
    >>> handler.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
    >>> logging.getLogger("example").addHandler(handler)
    >>> logging.getLogger("example").warning("no request yet")
    [] no request yet
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attribute, unless the program has set it, and let the record pass."""
        if not hasattr(record, "request_id"):
            record.request_id = current_request.get()
        return True


def level() -> int:
    """SAGEMAKER_CONTAINER_LOG_LEVEL: a number or a name of the logging module; INFO by default."""
    return _variables.LOG_LEVEL.read()


def warn_of_unknown_level() -> None:
    """Log that SAGEMAKER_CONTAINER_LOG_LEVEL is not a level."""
    variable = _variables.LOG_LEVEL
    if variable.text and _parsers.level_of(variable.text) is None:
        get_logger().warning(
            "%s=%r is not a log level; using INFO. Set it to a number or a name, such as WARNING",
            variable.name,
            variable.text,
        )


def is_json() -> bool:
    """Whether SAGEMAKER_LOG_FORMAT asks for JSON lines."""
    # Not LOG_FORMAT.read(): it rejects a malformed value, in a message that is formatted with this.
    return _variables.LOG_FORMAT.text.lower() == "json"


def configure_logger() -> None:
    """Log the package's messages to stderr with a time stamp; calling it again is harmless.

    >>> configure_logger()
    >>> get_logger().info("the container starts")
    """
    logger = get_logger()
    if not logger.hasHandlers():
        logger.addHandler(_handler())
    logger.setLevel(level())


def configure_root() -> None:
    """Log everything in this process to stderr, including the user's messages, by default.

    Call it before user code is imported. What the program configures overrides it: the default
    leaves a record to any handler of the program that writes it to the console, and it is gone
    after ``logging.basicConfig``, which would do nothing while the root has a handler.
    """
    root = logging.getLogger()
    default = _DefaultHandler(sys.stderr)
    default.setFormatter(_formatter())
    root.addHandler(default)
    root.setLevel(level())
    original = logging.basicConfig

    @functools.wraps(original)
    def basic_config(**options: Any) -> None:
        root.removeHandler(default)
        try:
            original(**options)
        finally:
            if not root.handlers:  # it raised
                root.addHandler(default)

    # Functions such as logging.info call it, too, but only while the root has no handler.
    logging.basicConfig = basic_config


class _DefaultHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes what no handler of the program writes."""

    def filter(self, record: logging.LogRecord) -> Any:
        return not _reaches_console(record, self) and super().filter(record)


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter())
    return handler


def _formatter() -> logging.Formatter:
    return _JsonLines() if is_json() else _Lines(_FORMAT)


def escaped(text: str) -> str:
    r"""A text of a client's, such as a model's name, so that it cannot split or colour a line.

    >>> escaped("iris\n")
    'iris\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def timestamp(seconds: float) -> str:
    """A time of the system's clock in the format of all log lines: ISO 8601, to milliseconds."""
    whole = int(seconds)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((seconds - whole) * 1000):03d}Z"


class _Lines(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        return timestamp(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as above
        line = super().formatMessage(record)
        request = _request_of(record)
        return f"{line} id={request}" if request and request not in line else line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        if record.stack_info:
            trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
        return json_line(
            record.created,
            record.levelname,
            record.name,
            record.getMessage(),
            request=_request_of(record),
            trace=trace or "",
        )


def json_line(  # noqa: PLR0913 - the fields of a line
    seconds: float, level_name: str, logger: str, message: str, *, request: str, trace: str = ""
) -> str:
    """A log line as a JSON object."""
    document = {
        "time": timestamp(seconds),
        "level": level_name,
        "logger": logger,
        "message": message,
    }
    if request:
        document["request_id"] = request
    if trace:
        document["traceback"] = trace
    return json.dumps(document)


def _request_of(record: logging.LogRecord) -> str:
    return str(getattr(record, "request_id", "") or current_request.get())


@contextmanager
def logging_to(stream: SupportsWrite) -> Iterator[None]:
    """Have what is logged through this process's stdout and stderr go to a stream.

    Whatever set the handlers up: their formats and levels stay, and they are put back afterwards.
    """
    ours = {id(sys.stderr), id(sys.stdout), id(sys.__stderr__), id(sys.__stdout__)}
    changed: list[tuple[Any, Any]] = []
    logger: logging.Logger | None = get_logger()
    while logger is not None:
        changed += [
            (handler, handler.setStream(stream))
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler) and id(handler.stream) in ours
        ]
        logger = logger.parent if logger.propagate else None
    try:
        yield
    finally:
        for handler, before in changed:
            handler.setStream(before)


def last_word(message: object, cause: BaseException | None = None) -> None:
    """Write, as the last line of the log, why this process exits.

    Args:
        message: the problem and its fix.
        cause: the exception that user code raised, to show its traceback.
    """
    with suppress(OSError, ValueError):  # the reader is gone, or the stream is closed
        print(last_words(message, cause), file=sys.stderr, flush=True)  # noqa: T201 - at any level


def last_words(message: object, cause: BaseException | None = None) -> str:
    """What `last_word` writes."""
    trace = users_traceback(cause) if cause else ""
    if is_json():
        record = logging.LogRecord(_NAME, logging.ERROR, "", 0, str(message), None, None)
        record.exc_text = trace
        return _JsonLines().format(record)
    return f"sagemaker-inference: error: {message}\n{trace}".rstrip()


def users_traceback(error: BaseException) -> str:
    """The traceback of an error as text, from the first line of user code on."""
    return "".join(traceback.format_exception(*users_exc_info(error)))


def users_exc_info(
    error: BaseException,
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """The ``exc_info`` of an error, with the traceback starting at the first line of user code."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return type(error), error, trace or error.__traceback__


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, "<")) or "importlib" in filename


def last_user_line(error: BaseException) -> str:
    """The last line of user code that led to ``error``: "inference.py, line 3"; "" if none."""
    line = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not _is_ours(frame.filename):
            line = f"{frame.filename}, line {frame.lineno}"
    return line
