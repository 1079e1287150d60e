"""One batch at a time in one process, by the thread that has loaded the model."""

from __future__ import annotations

# Looked up before the program is imported: gevent replaces it in its module.
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Final

from sagemaker_inference._inference.batch_window import AT_ONCE, fill, window_for
from sagemaker_inference._os.polling import poll_precisely
from sagemaker_inference._worker.background_sender import BackgroundSender
from sagemaker_inference._worker.calls import answers_of

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._worker.loop import Loop
    from sagemaker_inference._worker.work import Work

# So often an idle worker looks up, to show the supervisor that it could take a request, and any
# looks whether it is to end.
BEAT_SECONDS: Final = 1.0
# Bytes of an answer that go out at once: less than half of what a socket holds.
_SMALL: Final = 1 << 16


def serve(loop: Loop) -> None:
    """Serve until the server stops, and what was taken is answered."""
    batches = _Batches(loop)
    batches.serve()
    batches.settle()


class _Batches:
    """Takes a batch, has it answered, sends the answers."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._window = window_for(loop.servable.concurrency)
        self._requests: list[Request] = []  # what was answered last; see `_answer`
        self._responses: list[Response] = []
        self._sender = BackgroundSender(loop)
        self._are_kept = False
        self._news = poll()
        self._news.register(loop.epoll.fileno(), POLLIN)

    def serve(self) -> None:
        """Serve until the server stops."""
        loop, window, sender = self._loop, self._window, self._sender
        checks = loop.checks if loop.checks.exist else None
        look_again = 0.0
        while not loop.stopping:
            asked = monotonic()
            patience = min(checks.wait, BEAT_SECONDS) if checks else BEAT_SECONDS
            has_idle_work = window.size > 1 and loop.servable.has_idle_work
            if has_idle_work or sender.is_busy:
                patience = 0.0
            ready = loop.epoll.poll(patience, window.size)
            now = monotonic()
            at_once = now - asked < AT_ONCE
            if not ready:
                self._use_quiet(now, has_idle_work=has_idle_work)
            works = self._take(ready, now, at_once=at_once)
            if works and window.size > 1:
                window.open(len(works), at_once=at_once)
                if not (loop.is_alone or loop.calls.is_urgent(works)):
                    fill(works, window, now, self._take_more, self._must_answer)
            self._answer_all(works)
            if now >= look_again:
                look_again = now + BEAT_SECONDS
                if loop.is_dismissed:
                    return
            if checks and checks.fail():
                return

    def _take(self, ready: list[tuple[int, int]], now: float, *, at_once: bool) -> list[Work]:
        sender = self._sender
        works = self._loop.take(ready, now, at_once=at_once, is_busy=sender.is_busy)
        if sender.is_busy and not works:
            # What was there is another worker's now, or waits until nothing else is at work.
            works = sender.join()
        return works

    def settle(self) -> None:
        """Answer what is left."""
        while self._sender.is_busy:
            self._answer_all(self._sender.join())

    def _use_quiet(self, now: float, *, has_idle_work: bool) -> None:
        self._loop.note_quiet(now)
        self._loop.beat()
        if has_idle_work:
            self._loop.servable.use_idle_time()

    def _must_answer(self) -> bool:
        return self._loop.stopping or self._loop.has_deferred

    def _take_more(self, patience: float, room: int) -> tuple[list[Work], float]:
        asked = monotonic()
        ready = poll_precisely(self._loop.epoll, patience, room)
        now = monotonic()
        return self._loop.take(ready, now, at_once=now - asked < AT_ONCE, is_busy=True), now

    def _answer_all(self, works: list[Work]) -> None:
        """Answer what was taken, and what the front end sent behind that."""
        while works:
            self._are_kept = len(works) > 1 and self._loop.keep(works)
            is_by_path = self._loop.calls.are_by_path
            works = self._answer_by_path(works) if is_by_path else self._answer(works)

    def _answer_by_path(self, works: list[Work]) -> list[Work]:
        """Answer what was taken, in a call of the program for each path that it is for."""
        followers: list[Work] = []
        seconds = 0.0
        for call in self._loop.calls.of(works):
            followers += self._answer(call, closes=False)
            seconds += self._responses[0].predict_seconds
        self._window.close(len(works), seconds)
        return followers

    def _answer(self, works: list[Work], *, closes: bool = True) -> list[Work]:
        """Answer a batch; return what the front end sent behind its messages."""
        loop, window = self._loop, self._window
        if is_batch := len(works) > 1:
            loop.batch = works
            requests = [request for work in works for request in work.requests]
        else:
            requests = works[0].requests
        # Kept until the next ones are there, and freed one by one for each other's successors: all
        # at a time would go back to the system and have to come again page by page, a third more
        # processor time for 4 MB in and out.
        self._requests = requests
        responses = self._responses = loop.answer_now(requests)
        followers: list[Work | None] = []
        if self._sender.is_busy:
            self._sender.note_prediction(responses[0].predict_seconds)
            followers += self._sender.join()
        if window.size > 1:
            loop.note_batch(responses, window, closes=closes)
        if not is_batch:
            followers.append(loop.finish(works[0], responses))
        elif not self._send_beside(works, responses):
            answers = loop.streams.send_all(answers_of(works, responses))
            followers += [loop.finish(work, answer) for work, answer in answers]
        loop.batch = []
        return [work for work in followers if work is not None]

    def _send_beside(self, works: list[Work], responses: list[Response]) -> bool:
        """Have a batch answered beside the next prediction, if that pays and endangers nothing.

        Where nobody waits, or the next batch is to have these clients again, it does not pay: their
        requests come once they have their answers. And the worker may die over the next batch:
        other workers need a copy of these requests then, and no answer may be sent in part, which
        takes as long as its client likes where it is more than a socket holds.
        """
        may_grow = len(works) < self._window.size and self._window.waits
        if may_grow or not self._are_kept or not all(map(_is_small, responses)):
            return False
        return bool(self._news.poll(0)) and self._sender.begin(answers_of(works, responses))


def _is_small(response: Response) -> bool:
    body = response.body
    return isinstance(body, (bytes, bytearray, memoryview)) and len(body) <= _SMALL
