"""Capture requests and their responses, without a request waiting for it.

A thread writes what a worker has answered. What it cannot write in time, or at all, is dropped and
counted: a capture has gaps, and a server none.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue

# Of the interpreter, before the program is imported: gevent and eventlet replace what the module
# threading has, and their threads run when the program lets them.
from _thread import allocate_lock, start_new_thread
from collections import Counter
from http import HTTPStatus
from random import Random
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _variables
from sagemaker_inference._http import captured
from sagemaker_inference._log import get_logger
from sagemaker_inference._parsers import MEGABYTE
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._words import counted
from sagemaker_inference._worker.capture_folder import CaptureFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.streams import Stream
    from sagemaker_inference.codecs import Body

logger = get_logger()

# What may wait for the thread, in bytes of bodies.
WAITING_LIMIT: Final = 64 * MEGABYTE
# Of a stream, so much is kept until it is complete.
STREAM_LIMIT: Final = 8 * MEGABYTE
# What a request needs beside its bodies, about.
_OVERHEAD: Final = 2048
# Written with one system call.
_MOST_LINES: Final = 256
# So often at most, the log has what was dropped.
REPORT_SECONDS: Final = 60.0
# How long the last ones may take when the process ends.
CLOSE_SECONDS: Final = 1.0
_SLOW: Final = "they came faster than they can be written, or were too large"
_PERCENT: Final = 100
# In Python 3.10, a wait of no time for a SimpleQueue that is empty never ends.
_LEAST_PATIENCE: Final = 0.001


class _Item(NamedTuple):
    request: Request
    response: Response
    body: Body
    size: int


def capture_for(config: Config, model_name: str = "") -> Capture | None:
    """What captures the requests of a process; None where nothing is to be captured."""
    if not config.capture:
        return None
    return Capture(config, model_name if config.multi_model else "")


def keep_input(requests: Sequence[Request]) -> None:
    """Have requests keep what was sent, which programs may else change in place (NPY)."""
    for request in requests:
        if isinstance(request.body, memoryview):
            request.body = bytes(request.body)


class Capture:
    """Captures what a process answers.

    Args:
        config: where to, and how much.
        model_name: where there are many models, this one's.
        report_seconds: so often at most, the log has what was dropped.
    """

    def __init__(
        self, config: Config, model_name: str = "", report_seconds: float = REPORT_SECONDS
    ) -> None:
        self._share = config.capture_percentage / _PERCENT
        self._folder = CaptureFolder(config.capture, config.capture_limit, model_name)
        self._report_seconds = report_seconds
        # Not the module's, whose numbers a program may have made predictable.
        self._random = Random()  # noqa: S311 - no secret
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._waiting = 0
        self._dropped: Counter[str] = Counter()
        self._is_ending = False
        self._running = allocate_lock()
        self._running.acquire()
        start_new_thread(self._run, ())

    def add(self, request: Request, response: Response, stream: Stream | None = None) -> None:
        """Capture a request that was answered, or not; it never waits, and raises nothing.

        Failures are not captured: the format has no field for a status. Nor are other paths, for
        which it has none either.

        Args:
            request: the request.
            response: its response.
            stream: what it was, if that was a stream.
        """
        if response.status >= HTTPStatus.MULTIPLE_CHOICES or response.status < HTTPStatus.OK:
            return
        if request.path != INVOCATIONS or self._random.random() >= self._share:
            return
        body: Any = response.body if stream is None else stream.copy
        size = len(request.body) + len(body or b"") + _OVERHEAD
        with self._lock:
            if body is not None and self._waiting + size <= WAITING_LIMIT:
                self._waiting += size
                self._queue.put(_Item(request, response, body, size))
                return
            is_first = not self._dropped
            self._dropped[_SLOW] += 1
        if is_first:
            self._queue.put(None)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is left, for so long at most."""
        self._is_ending = True
        self._queue.put(None)
        if not self._running.acquire(timeout=seconds):
            logger.warning("%s: the last requests were not captured", _variables.CAPTURE.name)

    def _run(self) -> None:
        said = -self._report_seconds
        while True:
            patience = None
            if self._dropped:
                patience = max(_LEAST_PATIENCE, said + self._report_seconds - monotonic())
            self._write(self._take(patience))
            is_over = self._is_ending and self._queue.empty()
            if self._dropped and (is_over or monotonic() - said >= self._report_seconds):
                said = monotonic()
                self._report()
            if is_over:
                self._folder.close()
                self._running.release()
                return

    def _take(self, patience: float | None) -> list[_Item]:
        """What waits, after the first that comes."""
        items: list[_Item | None] = []
        try:
            items.append(self._queue.get(timeout=patience))
            while len(items) < _MOST_LINES:
                items.append(self._queue.get_nowait())
        except Empty:
            pass
        return [item for item in items if item is not None]

    def _write(self, items: list[_Item]) -> None:
        if not items:
            return
        now = time()
        lines: list[bytes] = []
        odd: Counter[str] = Counter()
        for request, response, body, _ in items:
            try:
                lines.append(captured.write(request, response, body, now))
            except Exception as error:  # noqa: BLE001 - such as a program's header that is not a str
                odd[f"{type(error).__name__}: {error}"] += 1
        lost = len(lines) - self._folder.write(lines, now)
        with self._lock:
            self._waiting -= sum(item.size for item in items)
            self._dropped.update(odd)
            if lost:
                self._dropped[self._folder.problem] += lost

    def _report(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        for reason, count in dropped.items():
            logger.warning(
                "%s: %s not captured: %s",
                _variables.CAPTURE.name,
                counted(count, "request"),
                reason,
            )
