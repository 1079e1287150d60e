"""What the supervisor and a worker tell each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._config import Config
from sagemaker_inference._program.location import Program
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASSIGNMENT_ENV: Final = "SAGEMAKER_INFERENCE_ASSIGNMENT"
LONGEST_REPORT: Final = 65536
# The stage of a worker whose program's health check has failed: it ends, and is to be replaced.
UNHEALTHY: Final = "unhealthy"
# That of a zygote that cannot be forked, and becomes a worker itself.
UNFORKABLE: Final = "unforkable"
# The name of the model where there is one.
MODEL_NAME: Final = "model"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the supervisor tells a worker.

    Attributes:
        program: the user's program, or None where ``handler_service`` brings its own.
        handler_service: a handler service written for MMS, or "".
        model_dir: where the model is.
        model_name: the model's name.
        index: its place among the workers.
        gpu_id: which GPU it has, or None; the process sees it as number 0.
        control_fd: a socket to the supervisor: connections come in, reports go out.
        epoll_fd, stop_fd, table_fd: shared by all workers of a deployment; see `_worker.loop`.
        journal_fd: where requests are kept that another worker may have to answer.
        log_fd: where access lines go.
        config: what the environment says.
        is_zygote: whether it loads the model only to be forked; see `_worker.zygote`.
        path: where the model is invoked, for the access log.
        metrics_fd: memory for metrics that the supervisor reads, or -1.
        sessions: how the paths of sockets begin to which workers send requests of sessions.
    """

    program: Program | None
    handler_service: str
    model_name: str
    model_dir: str
    index: int
    gpu_id: int | None
    control_fd: int
    epoll_fd: int
    stop_fd: int
    table_fd: int
    journal_fd: int
    log_fd: int
    config: Config
    is_zygote: bool = False
    path: str = INVOCATIONS
    metrics_fd: int = -1
    sessions: str = ""

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that the process inherits."""
        fds = (
            self.control_fd,
            self.epoll_fd,
            self.stop_fd,
            self.table_fd,
            self.journal_fd,
            self.log_fd,
        )
        return fds if self.metrics_fd < 0 else (*fds, self.metrics_fd)

    def dump(self) -> str:
        """As text for the environment."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Assignment:
        """From text."""
        fields = json.loads(text)
        fields["config"] = Config(**fields["config"])
        if fields["program"] is not None:
            fields["program"] = Program(**fields["program"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells the supervisor.

    Attributes:
        stage: "assembled" when the program is imported and complete, "warming" when the model is
            loaded and the warmup begins, "loaded" when it can answer, "unhealthy" when its health
            check has failed, "forked" when a zygote has made a copy of itself, "unforkable"
            when it cannot and goes on as a worker, "failed" when the program or the model cannot be
            loaded, and its log has said why.
        slots: connections of the front end that keep this process busy.
        patience: seconds beyond the time limit in which the process ends a request by itself.
        readable, writable: content types, for the line that says what is served.
        index, pid: which copy, and its process id, where one was forked.
        cause: in a line, why it failed or cannot be forked.
        words: all that the log is to say of its failure, once for all workers.
        predictor: what predicts where the program has no predictor, in words.
        out_of_memory: whether it was memory that loading failed for.
        limit: how many requests it handles at the same time.
        reads_rows: whether a body may hold several records.
        paths: the paths whose requests it answers.
        sockets: the options of its WebSockets.
    """

    stage: str
    slots: int = 1
    patience: float = 0.0
    readable: Sequence[str] = ()
    writable: Sequence[str] = ()
    index: int = 0
    pid: int = 0
    cause: str = ""
    words: str = ""
    predictor: str = ""
    out_of_memory: bool = False
    limit: int = 1
    reads_rows: bool = True
    paths: Sequence[str] = (INVOCATIONS,)
    sockets: Sequence[Mapping[str, Any]] = ()

    def dump(self) -> bytes:
        """As bytes for the socket, without the middle of words that are too long for it."""
        fields = asdict(self)
        data = json.dumps(fields).encode()
        kept = len(self.words)
        while len(data) > LONGEST_REPORT and kept:
            kept //= 2
            ending = self.words[len(self.words) - kept // 2 :]
            fields["words"] = f"{self.words[: kept // 2]}\n[...]\n{ending}"
            data = json.dumps(fields).encode()
        return data

    @classmethod
    def read(cls, data: bytes) -> Report:
        """From bytes."""
        return cls(**json.loads(data))
