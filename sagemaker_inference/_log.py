"""The package's logger, and the container's log level."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _config, _parsers

if TYPE_CHECKING:
    from types import TracebackType

_NAME: Final = "sagemaker-inference"
_PACKAGE: Final = str(Path(__file__).parent)
_FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


def get_logger() -> logging.Logger:
    """The logger named "sagemaker-inference"."""
    return logging.getLogger(_NAME)


def level() -> int:
    """SAGEMAKER_CONTAINER_LOG_LEVEL: a number or a name of the logging module; INFO by default."""
    return _config.LOG_LEVEL.read()


def warn_of_unknown_level() -> None:
    """Log that SAGEMAKER_CONTAINER_LOG_LEVEL is not a level."""
    variable = _config.LOG_LEVEL
    if variable.text and _parsers.level_of(variable.text) is None:
        get_logger().warning(
            "%s=%r is not a log level; using INFO. Set it to a number or a name, such as WARNING",
            variable.name,
            variable.text,
        )


def is_json() -> bool:
    """Whether SAGEMAKER_LOG_FORMAT asks for JSON lines."""
    # Not LOG_FORMAT.read(): it rejects a malformed value, in a message that is formatted with this.
    return _config.LOG_FORMAT.text.lower() == "json"


def configure_logger() -> None:
    """Log the package's messages to stderr with a time stamp; calling it again is harmless."""
    logger = get_logger()
    if not logger.hasHandlers():
        logger.addHandler(_handler())
    logger.setLevel(level())


def configure_root() -> None:
    """Log everything in this process to stderr, including the user's messages.

    Call it before user code is imported, so that what the user configures overrides it.
    """
    root = logging.getLogger()
    root.addHandler(_handler())
    root.setLevel(level())


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if is_json() else logging.Formatter(_FORMAT))
    return handler


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:
            document["traceback"] = record.exc_text
        return json.dumps(document)


def last_word(message: object, cause: BaseException | None = None) -> None:
    """Write, as the last line of the log, why this process exits.

    Args:
        message: the problem and its fix.
        cause: the exception that user code raised, to show its traceback.
    """
    trace = "".join(traceback.format_exception(*users_exc_info(cause))) if cause else ""
    if is_json():
        record = logging.LogRecord(_NAME, logging.ERROR, "", 0, str(message), None, None)
        record.exc_text = trace
        text = _JsonLines().format(record)
    else:
        text = f"sagemaker-inference: error: {message}\n{trace}".rstrip()
    print(text, file=sys.stderr)  # noqa: T201 - visible at any log level and configuration


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
