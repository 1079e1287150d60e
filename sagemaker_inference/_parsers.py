"""Parsers of the values of environment variables: each raises ValueError with how to fix it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
_MOST_TRANSFORMS: Final = 100
_ORIGIN: Final = re.compile(r"\*|https?://[\w.\-\[\]:]+")
_RANGE: Final = re.compile(r"(\d+)-(\d+)")
LEVELS: Final = {
    "NOTSET": 0,
    "DEBUG": 10,
    "INFO": 20,
    "WARN": 30,
    "WARNING": 30,
    "ERROR": 40,
    "FATAL": 50,
    "CRITICAL": 50,
}
MEDIA_TYPE: Final = re.compile(r"[^/\s]+/.+")
FUNCTION: Final = re.compile(r"\w+(\.\w+)+")
HOST: Final = re.compile(r"[\w.:-]+")
ON: Final = ("true", "1", "yes", "on")
_OFF: Final = ("", "false", "0", "no", "off")


# Multi Model Server reads ports as a signed short (ConfigManager).
HIGHEST_PORT: Final = 32766
MEGABYTE: Final = 1024 * 1024
# Each worker needs a connection of the front end, of which there are so many.
MOST_WORKERS: Final = 256
# Two weeks. Above, system calls that wait, and Java, which adds some up, count wrongly.
MOST_SECONDS: Final = 1_000_000
# More requests than a server can have at the same time.
MOST_REQUESTS: Final = 10_000


def number(
    unit: str, *, least: float, example: str, whole: bool, most: float = math.inf
) -> Callable[[str], Any]:
    def parse(text: str) -> float:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not value >= least or value == math.inf:
            kind = "a whole number" if whole else "a number"
            of_unit = f" of {unit}" if unit else ""
            message = f"is not {kind}{of_unit}, {least:g} or more. Set it, e.g. to {example}"
            raise ValueError(message)
        if value > most:
            message = f"is over {most}, the most that a server takes. Set it to that or less."
            raise ValueError(message)
        return value

    return parse


def switch(text: str) -> bool:
    if text.lower() in (*ON, *_OFF):
        return text.lower() in ON
    message = "is neither true nor false. Set one, or leave it out."
    raise ValueError(message)


def matching(fits: Callable[[str], object], example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if fits(text):
            return text
        message = f"cannot be used. Set it to e.g. {example}, or leave it out."
        raise ValueError(message)

    return parse


def is_range(text: str) -> bool:
    match = _RANGE.fullmatch(text)
    return match is not None and int(match[1]) <= int(match[2])


def log_format(text: str) -> str:
    return matching(lambda given: given.lower() in ("json", "text"), "json")(text).lower()


def metrics(text: str) -> str:
    if text.lower() in (*ON, *_OFF):
        return "prometheus" if text.lower() in ON else ""
    return matching(lambda value: value.lower() in ("emf", "both"), "true, false, emf or both")(
        text
    ).lower()


def origin(text: str) -> str:
    return matching(_ORIGIN.fullmatch, "https://example.com, or * for all")(text)


def transforms(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= _MOST_TRANSFORMS:
        return int(text)
    message = f"is not a number from 1 to {_MOST_TRANSFORMS}. Set it, e.g. to 4, or leave it out."
    raise ValueError(message)


def batch_strategy(text: str) -> str:
    # SageMaker's SDK and its API spell them differently.
    strategies = {"multirecord": "MULTI_RECORD", "singlerecord": "SINGLE_RECORD"}
    strategy = strategies.get(text.lower().replace("_", ""))
    if strategy is None:
        message = "is not MULTI_RECORD or SINGLE_RECORD. Set one of them, or leave it out."
        raise ValueError(message)
    return strategy


def on_bad_record(text: str) -> str:
    return matching(("fail", "placeholder").__contains__, "fail or placeholder")(text.lower())


def log_level(text: str) -> int:
    """A number or a name of the logging module; INFO for anything else.

    A log level is no reason to keep an endpoint down.
    """
    level = level_of(text)
    return LEVELS["INFO"] if level is None else level


def level_of(text: str) -> int | None:
    """The log level that a text names, or None."""
    return int(text) if text.isdigit() else LEVELS.get(text.upper())
