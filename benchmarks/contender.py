"""The contenders: what there is in contenders/, and how requests reach each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.works import JSON, MANY, STREAM, Work, in_v2

FOLDER: Final = Path(__file__).parent / "contenders"
OURS: Final = "ours"
ON_RAY: Final = "ours_ray"
_V2_MODES: Final = ("batched", STREAM, MANY)
# As SageMaker asks for a model of a multi-model endpoint.
_MANY_PATH: Final = "/models/m{}/invoke"


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
        streams: whether its program streams.
        stream_path: where streams come from, if not from where other answers do.
        speaks_v2: whether its batching, its streams and its models beside others take requests of
            the V2 inference protocol only.
        many_path: where one of several models is asked, with {} for its number; empty if it has no
            means of its own to serve several.
        model_header: the header that names the model, if not the path.
    """

    name: str
    title: str
    package: str
    batches: bool = True
    needs_java: bool = False
    program: str = "server.py"
    other_path: str = ""
    floor: bool = False
    streams: bool = False
    stream_path: str = ""
    speaks_v2: bool = False
    many_path: str = ""
    model_header: str = ""

    @property
    def folder(self) -> Path:
        """Where its program and its requirements are."""
        return FOLDER / self.name

    def takes(self, work: Work) -> bool:
        """Whether it has its own means for this work."""
        if work.is_stream:
            return self.streams
        if work.mode == MANY:
            return bool(self.many_path)
        return self.floor if work.is_ping else self.batches or work.mode != "batched"

    def target(self, work: Work, model: int = 0) -> tuple[str, bytes]:
        """The path and the body of a request to the model of this number."""
        body = in_v2(work) if self.speaks_v2 and work.mode in _V2_MODES else work.body
        if work.is_ping:
            path = "/ping"
        elif work.mode == MANY:
            path = self.many_path.format(model)
        elif work.is_stream and self.stream_path:
            path = self.stream_path
        elif self.speaks_v2 and work.mode == "batched":
            path = "/v2/models/model/infer"
        elif self.other_path and work.content_type != JSON:
            path = self.other_path
        else:
            path = "/invocations"
        return path, body

    def headers(self, work: Work, model: int = 0) -> dict[str, str]:
        """The headers of a request to the model of this number."""
        found = {"Content-Type": work.content_type, "Accept": work.accept}
        if self.model_header and work.mode == MANY:
            found[self.model_header] = f"m{model}"
        return found


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
            streams=True,
            many_path=_MANY_PATH,
        ),
        Contender(
            "aws",
            "AWS toolkit on MMS",
            "sagemaker-inference",
            batches=False,
            needs_java=True,
            many_path=_MANY_PATH,
        ),
        Contender(
            "mms",
            "MMS, bare handler",
            "multi-model-server",
            batches=False,
            needs_java=True,
            floor=True,
            many_path=_MANY_PATH,
        ),
        Contender("litserve", "LitServe", "litserve", streams=True, many_path=_MANY_PATH),
        Contender("bentoml", "BentoML", "bentoml", other_path="/raw/invocations", streams=True),
        Contender(
            "mlserver",
            "MLServer",
            "mlserver",
            streams=True,
            stream_path="/v2/models/model/infer_stream",
            speaks_v2=True,
            many_path="/v2/models/m{}/infer",
        ),
        Contender("mosec", "mosec", "mosec", streams=True, many_path=_MANY_PATH),
        Contender(
            "fastapi",
            "FastAPI by hand",
            "fastapi",
            batches=False,
            streams=True,
            many_path=_MANY_PATH,
        ),
        Contender(
            "ray",
            "Ray Serve",
            "ray",
            streams=True,
            many_path="/invocations",
            model_header="serve_multiplexed_model_id",
        ),
        Contender(ON_RAY, "this project on Ray Serve", "sagemaker-inference"),
    )
}
# Those of a whole run; the other one is for a comparison with Ray.
ALL: Final = tuple(name for name in CONTENDERS if name != ON_RAY)
