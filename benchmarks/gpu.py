"""A model on a GPU in alternating turns, beside others and alone: ``python -m benchmarks gpu``.

A GPU predicts a batch of 64 in milliseconds. What keeps it from doing so all the time is the server
around it: batches that are not full, and decoding and encoding while the device is idle. So each
server is compared with the same model without one. torch is too large to install for each
contender: all use that of the Python which runs this.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from benchmarks import batching
from benchmarks.batching import Goal, Load
from benchmarks.contender import FOLDER, OURS
from benchmarks.processes import ServerError
from benchmarks.works import JSON, Work, WrongAnswerError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MODE: Final = "encoder"
CONTENDERS: Final = (OURS, "mosec", "litserve")
NAMES: Final = tuple(f"gpu-{count}" for count in (1, 16, 64, 256))
# As contenders/encoder.py has them.
_LENGTH: Final = 128
_VOCABULARY: Final = 30_522
_LARGEST: Final = 64
# What half precision makes of other sizes of batches.
_TOLERANCE: Final = 0.01
_PROBE: Final = """
import torch
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")
"""


class MissingError(Exception):
    """There is nothing to measure; the message says why."""


class Alone(NamedTuple):
    """The model without a server.

    Attributes:
        prediction: what it predicts of the tokens that are sent.
        rates: how many rows it manages in a second, by size of batch.
    """

    prediction: tuple[float, ...]
    rates: dict[int, float]


@dataclass(frozen=True)
class TokenWork(Work):
    """A sequence of tokens, as JSON.

    Attributes:
        prediction: what the model alone makes of it.
    """

    prediction: tuple[float, ...] = ()

    @cached_property
    def data(self) -> NDArray[Any]:
        """The tokens: the same in every run."""
        return np.array([tokens()])

    def check(self, status: int, reply: bytes) -> None:
        """Compare a reply with what the model alone predicts.

        Raises:
            WrongAnswerError: it is something else.
        """
        try:
            found = parse(reply, JSON)
            wanted = np.array([self.prediction])
            is_right = found.shape == wanted.shape and np.allclose(found, wanted, atol=_TOLERANCE)
        except (ValueError, TypeError, KeyError, IndexError):
            is_right = False
        if status != 200 or not is_right:  # noqa: PLR2004 - HTTP's number
            message = f"{self.name}: status {status}, not what the model predicts: {reply[:200]!r}"
            raise WrongAnswerError(message)


def tokens() -> list[int]:
    """A sequence of tokens."""
    source = random.Random(_LENGTH)  # noqa: S311 - numbers to send, not secrets
    return [source.randrange(_VOCABULARY) for _ in range(_LENGTH)]


def measure(
    plan: batching.Batching, device: str, cache: Path, say: Callable[[str], None]
) -> dict[str, str]:
    """Measure all, and write it as Markdown; where there is no GPU, say so.

    Args:
        plan: whom and what to measure, how often and for how long.
        device: "cuda" or "cpu".
        cache: where environments are kept.
        say: writes a line.

    Returns:
        Who was not measured to the end, and why.
    """
    try:
        say(f"On {find_device(device)}")
    except MissingError as error:
        say(f"gpu is skipped: {error}")
        return {}
    try:
        alone = run_alone(device, plan.seconds)
    except ServerError as error:
        return {"the model alone": str(error)}
    say(table(alone))
    run = replace(plan, environ=environ(device), loads=loads(alone))
    run.run(cache, say)
    say(batching.table(run.measures, run.loads))
    say(batching.verdicts(run.measures, goals(alone), run.loads))
    return run.failures


def environ(device: str) -> dict[str, str]:
    """What the programs of contenders are told besides their mode."""
    folders = [each for each in sys.path if Path(each).name in {"site-packages", "dist-packages"}]
    return {"BENCHMARK_DEVICE": device, "BENCHMARK_TORCH": os.pathsep.join(folders)}


def find_device(device: str) -> str:
    """Find the device, and say what it is.

    Raises:
        MissingError: torch is not installed, or does not see a GPU.
    """
    # In a process of its own: one that has touched a GPU holds some of its memory.
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        message = f"torch cannot be imported by {sys.executable}: {reason}"
        raise MissingError(message)
    if device == "cpu":
        return "this machine's processors"
    if not (name := done.stdout.strip().rpartition("\n")[2]):
        message = "torch sees no GPU here. To try the programs without one: --device cpu"
        raise MissingError(message)
    return name


def run_alone(device: str, seconds: float) -> Alone:
    """Measure the model without a server.

    Raises:
        ServerError: it does not run.
    """
    done = subprocess.run(
        [sys.executable, FOLDER / "encoder.py"],
        input=json.dumps([tokens()]),
        env={**os.environ, **environ(device), "BENCHMARK_ALONE_SECONDS": str(seconds)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(done.stderr.strip()[-500:])
    found = json.loads(done.stdout)
    [prediction] = found["prediction"]
    return Alone(tuple(prediction), {int(size): rate for size, rate in found["rates"].items()})


def loads(alone: Alone) -> list[Load]:
    """What is sent."""
    return [
        Load(
            TokenWork(
                name,
                f"128 tokens, {name.partition('-')[2]}",
                connections=int(name.partition("-")[2]),
                mode=MODE,
                prediction=alone.prediction,
            )
        )
        for name in NAMES
    ]


def goals(alone: Alone) -> list[Goal]:
    """What is wanted: more than mosec, and most of what the model manages alone."""
    return [
        Goal("gpu-64", "rate", "mosec", 1.15),
        Goal("gpu-256", "rate", "mosec", 1.3),
        Goal("gpu-256", "rate", alone.rates[_LARGEST], 0.75),
        *(Goal(name, "errors", 0.0) for name in NAMES),
    ]


def table(alone: Alone) -> str:
    """The model alone as Markdown."""
    lines = ["| the model alone | rows/s |", "| --- | ---: |"]
    lines += [f"| batches of {size} | {rate:,.0f} |" for size, rate in alone.rates.items()]
    return "\n".join(lines) + "\n"
