"""What the supervisor is told to serve, and how."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sagemaker_inference.program import Program


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served and how.

    Attributes:
        program: the user's program, or None where ``handler_service`` brings its own.
        handler_service: a handler service written for MMS, or "".
        model_dir: where the model is.
        host, port: what is served.
        workers: model processes.
        gpus: the GPU of each process in turn; empty for none.
        payload_limit: most bytes of a body.
        timeout: seconds a prediction may take.
        startup_timeout: seconds a model may take to load.
        vmargs: further arguments for Java.
        preload: whether the model is loaded once and the processes are forked from that.
        slots: connections per process where that is known before the program is imported here,
            else 0; the front end can then start at once.
    """

    program: Program | None
    handler_service: str
    model_dir: str
    host: str
    port: int
    workers: int
    gpus: list[str]
    payload_limit: int
    timeout: float
    startup_timeout: float
    vmargs: str
    preload: bool = False
    slots: int = 0

    def dump(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Settings:
        """From text."""
        fields = json.loads(text)
        if fields["program"] is not None:
            fields["program"] = Program(**fields["program"])
        return cls(**fields)
