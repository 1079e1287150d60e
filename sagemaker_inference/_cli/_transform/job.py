"""A job: the files, the requests, and what comes of them."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._transform.cutting import SPLITS, batches
from sagemaker_inference._os.interruptible import result_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from sagemaker_inference._cli._transform.cutting import Batch
    from sagemaker_inference._cli._transform.joining import Joining
    from sagemaker_inference.testing import Client, Reply

_UNFINISHED: Final = ".unfinished"
# Requests beyond those in progress that are cut and kept.
_AHEAD: Final = 2
_LONGEST_WAIT: Final = 5.0


class Result(NamedTuple):
    """What came of a file."""

    records: int
    requests: int


@dataclass(frozen=True, slots=True)
class Job:
    """How files are transformed; the names are the platform's.

    Attributes:
        headers: Content-Type and Accept.
        split: SplitType.
        is_multi: whether BatchStrategy is MultiRecord.
        is_assembled: whether AssembleWith is Line.
        payload_limit: most bytes of a request; 0 for any.
        transforms: MaxConcurrentTransforms.
        retries: InvocationsMaxRetries.
        is_gzip: whether CompressionType is Gzip.
        joining: filters, and JoinSource.
    """

    headers: dict[str, str]
    split: str
    is_multi: bool
    is_assembled: bool
    payload_limit: int
    transforms: int
    retries: int
    is_gzip: bool
    joining: Joining

    def transform(
        self, client: Client, source: Path, target: Path, on_progress: Callable[[int], None]
    ) -> Result:
        """Transform a file; what it becomes is there when all of it is.

        Args:
            client: the program.
            source: the file.
            target: what it becomes.
            on_progress: called with the size of what has been answered, in bytes.

        Raises:
            CommandError: a request failed.
        """
        # Not the name of the target, which other jobs may have, and which may be as long as can be.
        unfinished = target.with_name(f".{uuid4().hex}{_UNFINISHED}")
        with ExitStack() as stack:
            stack.callback(unfinished.unlink, missing_ok=True)
            output = stack.enter_context(unfinished.open("wb"))
            stream: IO[bytes] = stack.enter_context(source.open("rb"))
            if self.is_gzip:
                unpacked = stack.enter_context(gzip.GzipFile(fileobj=stream))
                stream = stack.enter_context(io.BufferedReader(unpacked))
            try:
                result = self._run(client, stream, output, on_progress)
            except (EOFError, zlib.error) as error:
                message = f"{source.name} is not a whole gzip file: {error}"
                raise CommandError(message) from None
            # Windows renames no file that is open.
            output.close()
            unfinished.replace(target)
        return result

    def _run(
        self,
        client: Client,
        stream: IO[bytes],
        output: IO[bytes],
        on_progress: Callable[[int], None],
    ) -> Result:
        records = requests = 0
        waiting: deque[tuple[Batch, Future[bytes]]] = deque()

        def write() -> None:
            batch, answer = waiting.popleft()
            output.write(result_of(answer))
            on_progress(len(batch.body))

        pool = ThreadPoolExecutor(self.transforms)
        # Whoever interrupts the job does not wait for requests in progress; the next file does.
        is_interrupted = True
        try:
            cut = SPLITS[self.split](stream)
            for batch in batches(cut, self.payload_limit, is_multi=self.is_multi):
                records += batch.records
                requests += 1
                waiting.append((batch, pool.submit(self._answer, client, batch.body)))
                if len(waiting) >= self.transforms * _AHEAD:
                    write()
            while waiting:
                write()
            is_interrupted = False
        except Exception:
            is_interrupted = False
            raise
        finally:
            pool.shutdown(wait=not is_interrupted, cancel_futures=True)
        return Result(records, requests)

    def _answer(self, client: Client, body: bytes) -> bytes:
        reply = self._ask(client, self.joining.sent(body))
        written = self.joining.written(body, reply.body, reply.content_type)
        # What is joined or filtered is in lines already, and so are most responses of lines.
        is_in_lines = (
            self.joining.is_joined or self.joining.output_filter or written.endswith(b"\n")
        )
        return written + b"\n" if self.is_assembled and not is_in_lines else written

    def _ask(self, client: Client, body: bytes) -> Reply:
        problem = ""
        for attempt in range(self.retries + 1):
            try:
                reply = client.request("POST", "/invocations", body, self.headers)
            except OSError as error:
                problem = f"Unable to get response from algorithm: {error}"
                continue
            if not reply.is_complete:
                problem = "Unable to get response from algorithm: the stream broke off"
                continue
            if reply.status_code == HTTPStatus.OK:
                return reply
            message = " ".join(reply.text.split())
            problem = f"Bad HTTP status received from algorithm: {reply.status_code}. {message}"
            is_faulty = reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            if not is_faulty and reply.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                break
            if attempt < self.retries:
                _wait(reply)
        raise CommandError(problem)


def _wait(reply: Reply) -> None:
    """Wait as long as an answer asks for."""
    seconds = reply.headers.get("Retry-After", "")
    if seconds.isdecimal():
        time.sleep(min(float(seconds), _LONGEST_WAIT))
