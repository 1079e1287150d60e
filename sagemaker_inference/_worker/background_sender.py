"""Send the answers to a batch in a thread, while the predictor is at work on the next batch.

It pays where a prediction lets other threads run, as those on devices and in libraries do. One that
does not is known by how few answers are sent meanwhile: then the answers to 2 batches go out before
the next prediction as usual, after the next such batch those to 4, up to 64.
"""

from __future__ import annotations

# Looked up before the program is imported: gevent and eventlet replace these in the modules that
# threading has, and their threads run when the program lets them.
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, Final

from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._worker.loop import Loop
    from sagemaker_inference._worker.work import Work

    Answers = list[tuple[Work, list[Response]]]

logger = get_logger()

# Seconds for an answer: several times of what one takes that is not large.
_SLOW: Final = 0.0002
_LONGEST_PAUSE: Final = 64


class BackgroundSender:
    """Sends the answers to one batch at a time.

    Args:
        loop: the loop that has taken the requests.

    Attributes:
        is_busy: whether it has a batch, until `join`.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._answers: Answers = []
        self._sent = 0
        self._fault: BaseException | None = None
        self._has_thread = self.is_busy = False
        self._pause = self._failures = 0
        # Each is held by the thread that waits for the other one.
        self._begun, self._ended = allocate_lock(), allocate_lock()
        self._begun.acquire()
        self._ended.acquire()

    def begin(self, answers: Answers) -> bool:
        """Send answers from now on; returns whether it does.

        Args:
            answers: where they go, and the responses.
        """
        if self._pause:
            self._pause -= 1
            return False
        if not self._has_thread:
            try:
                start_new_thread(self._run, ())
            except RuntimeError as error:
                # Threads may be limited.
                logger.debug("answers are sent before the next prediction: %s", error)
                self._pause = _LONGEST_PAUSE
                return False
            self._has_thread = True
        self._loop.set_aside([work for work, _ in answers])
        self._answers, self._sent = answers, 0
        self.is_busy = True
        self._begun.release()
        return True

    def note_prediction(self, seconds: float) -> None:
        """Learn from the prediction beside which answers were to be sent.

        Args:
            seconds: how long it took.
        """
        if self._sent < int(min(len(self._answers), seconds / _SLOW)):
            self._failures += 1
            self._pause = min(2**self._failures, _LONGEST_PAUSE)
        elif seconds > _SLOW:
            self._failures = 0

    def join(self) -> list[Work]:
        """Wait until the answers are sent; what that has failed with is raised.

        Returns:
            What the front end sent behind the messages.
        """
        self._ended.acquire()
        self.is_busy = False
        self._answers = []
        if self._fault is not None:
            raise self._fault
        return self._loop.follow_up()

    def _run(self) -> None:
        while True:
            self._begun.acquire()
            try:
                for work, responses in self._answers:
                    self._loop.finish(work, responses, is_beside=True)
                    self._sent += 1
            except BaseException as fault:  # noqa: BLE001 - raised by `join`
                self._fault = fault
            self._ended.release()
