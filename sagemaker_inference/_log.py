"""The package's logger, and the container's log level."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _config

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
    if variable.text and _config.level_of(variable.text) is None:
        get_logger().warning(
            "%s=%r is neither a number nor a name of a level: INFO counts",
            variable.name,
            variable.text,
        )


def is_json() -> bool:
    """Whether SAGEMAKER_LOG_FORMAT asks for JSON lines."""
    # Not read: a malformed value is refused elsewhere, in a message that this formats.
    return _config.LOG_FORMAT.text.lower() == "json"


def configure_logger() -> None:
    """Send the package's log to stderr with a time stamp; calling it again changes nothing."""
    logger = get_logger()
    if not logger.hasHandlers():
        logger.addHandler(_handler())
    logger.setLevel(level())


def configure_root() -> None:
    """Send everything that is logged in this process to stderr, the user's own lines too.

    Call it before user code is imported: what that sets up itself goes before.
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
    """Say why this process ends, after all that was logged.

    Args:
        message: what is wrong.
        cause: what the user's code has raised, whose traceback is shown.
    """
    trace = "".join(traceback.format_exception(*users_exc_info(cause))) if cause else ""
    if is_json():
        record = logging.LogRecord(_NAME, logging.ERROR, "", 0, str(message), None, None)
        record.exc_text = trace
        text = _JsonLines().format(record)
    else:
        text = f"sagemaker-inference: error: {message}\n{trace}".rstrip()
    print(text, file=sys.stderr)  # noqa: T201 - whether anything is set up that logs or not


def users_exc_info(
    error: BaseException,
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """What a log record takes as ``exc_info``, with the traceback from the user's first line on."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return type(error), error, trace or error.__traceback__


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, "<")) or "importlib" in filename


def users_place(error: BaseException) -> str:
    """The last of the user's lines that led to ``error``: "inference.py, line 3"; "" if none."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not _is_ours(frame.filename):
            place = f"{frame.filename}, line {frame.lineno}"
    return place
