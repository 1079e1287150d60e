"""The contenders: what there is in contenders/, and how requests reach each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.works import JSON, Work, in_v2

FOLDER: Final = Path(__file__).parent / "contenders"
OURS: Final = "ours"


@dataclass(frozen=True)
class Contender:
    """A server that is measured.

    Attributes:
        name: its name on the command line, and its folder.
        title: its name in tables.
        package: the distribution whose version stands in tables.
        batches: whether it has batching of its own that a fixed model can be given.
        needs_java: whether it runs on Java.
        program: the file that starts it.
        other_path: where formats other than JSON go, if not where JSON goes.
        floor: whether `/ping` is measured: the most that the front end which it shows can do.
        speaks_v2: whether its batching takes requests of the V2 inference protocol only.
    """

    name: str
    title: str
    package: str
    batches: bool = True
    needs_java: bool = False
    program: str = "server.py"
    other_path: str = ""
    floor: bool = False
    speaks_v2: bool = False

    @property
    def folder(self) -> Path:
        """Where its program and its requirements are."""
        return FOLDER / self.name

    def takes(self, work: Work) -> bool:
        """Whether it has its own means for this work."""
        return self.floor if work.is_ping else self.batches or work.mode != "batched"

    def target(self, work: Work) -> tuple[str, bytes]:
        """The path and the body of a request."""
        if work.is_ping:
            return "/ping", b""
        if self.speaks_v2 and work.mode == "batched":
            return "/v2/models/model/infer", in_v2(work)
        if self.other_path and work.content_type != JSON:
            return self.other_path, work.body
        return "/invocations", work.body


CONTENDERS: Final = {
    each.name: each
    for each in (
        Contender(
            OURS,
            "this project",
            "sagemaker-inference",
            needs_java=True,
            program="inference.py",
            floor=True,
        ),
        Contender(
            "aws", "AWS toolkit on MMS", "sagemaker-inference", batches=False, needs_java=True
        ),
        Contender(
            "mms",
            "MMS, bare handler",
            "multi-model-server",
            batches=False,
            needs_java=True,
            floor=True,
        ),
        Contender("litserve", "LitServe", "litserve"),
        Contender("bentoml", "BentoML", "bentoml", other_path="/raw/invocations"),
        Contender("mlserver", "MLServer", "mlserver", speaks_v2=True),
        Contender("mosec", "mosec", "mosec"),
        Contender("fastapi", "FastAPI by hand", "fastapi", batches=False),
        Contender("ray", "Ray Serve", "ray"),
    )
}
