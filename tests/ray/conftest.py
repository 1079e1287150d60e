"""Ray on this machine, with small processes, and the programs that it serves."""

from __future__ import annotations

import os
from multiprocessing.process import current_process
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.ports import free_port
from support.ray_files import ENVIRONMENT, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each ends like a program for the server: on Ray, that starts nothing.
SERVED = "\nserve(__name__)\n"
PROGRAMS = {
    "doubles": """
import os
import pathlib
import time
from sagemaker_inference import metrics, model_loader, predictor, serve

hits = metrics.counter("test_hits", "Requests.", labels=("kind",))
sizes = metrics.histogram("test_sizes", "Sizes.", buckets=(1, 10))

@model_loader
def load(context):
    return {"gpu": context.gpu_id, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}

@predictor(max_batch_size=8)
def predict(batch, model):
    hits.inc(len(batch), kind="all")
    sizes.observe(len(batch))
    return [answer(data, model) for data in batch]

def answer(data, model):
    if isinstance(data, str):
        return {"pid": os.getpid(), "file": __file__, **model}
    if isinstance(data, dict):
        if "go" in data:
            pathlib.Path(data["begun"], str(os.getpid())).touch()
            while not os.path.exists(data["go"]):
                time.sleep(0.01)
        time.sleep(data.get("sleep", 0))
        return {"pid": os.getpid()}
    return data * 2
""",
    "streams": """
import asyncio
import os
from sagemaker_inference import bidirectional, model_loader, predictor, serve

@model_loader
def load():
    return None

@predictor
async def predict(data):
    for number in range(data["count"]):
        yield {"number": number}
        while "read" in data and not os.path.exists(f"{data['read']}/{number}"):
            await asyncio.sleep(0.01)
    if data.get("fails"):
        raise ValueError(data)

@bidirectional
async def talk(messages):
    async for message in messages:
        yield message.upper()
""",
    "broken": """
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load():
    raise ValueError("there are no weights")

@predictor
def predict(data):
    return data
""",
    "unwell": """
import os
import pathlib
from sagemaker_inference import health_check, model_loader, predictor, serve

state = {"is_well": True}

@model_loader
def load():
    return None

@health_check(interval=0.2)
def check():
    return state["is_well"]

@predictor
def predict(data):
    if data == "fail":
        state["is_well"] = False
    return os.getpid()
""",
}


class Cluster(NamedTuple):
    """Ray, and what tests need of it.

    Attributes:
        serve: the module.
        port: where Serve answers.
        metrics_port: where Ray has its metrics.
        folder: where programs are; replicas get a copy of it.
    """

    serve: Any
    port: int
    metrics_port: int
    folder: Path

    def run(self, program: str, **options: Any) -> Any:
        """Serve a program at the path of its name; returns its handle."""
        from sagemaker_inference.ray import deployment, run

        actor = {"num_cpus": 0.1, **options.pop("ray_actor_options", {})}
        application = deployment(f"{program}.py", ray_actor_options=actor, **options)
        return run(application, name=program, route_prefix=f"/{program}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Ray with Serve; programs are shipped as its working directory."""
    os.environ.update(ENVIRONMENT)
    import ray
    from ray import serve

    folder = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(text + SERVED)
    port, metrics_port = free_port(), free_port()
    with scratch() as files, pytest.MonkeyPatch.context() as patch:
        # A process of Ray that is killed leaves its temporary files behind.
        patch.setenv("TMPDIR", str(files))
        # What Ray does with multiprocessing here has a folder until this process ends.
        current_process()._config.setdefault("tempdir", str(files))
        try:
            ray.init(
                num_cpus=2,
                num_gpus=1,  # which nothing uses
                include_dashboard=False,
                object_store_memory=80_000_000,
                log_to_driver=False,
                logging_level="warning",
                runtime_env={"working_dir": str(folder)},
                _metrics_export_port=metrics_port,
                _temp_dir=str(files),
            )
            serve.start(http_options={"host": "127.0.0.1", "port": port})
            yield Cluster(serve, port, metrics_port, folder)
            serve.shutdown()
        finally:
            ray.shutdown()


@pytest.fixture(autouse=True)
def nothing_served(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test ends what it serves."""
    yield
    if "cluster" in request.fixturenames:
        serve = request.getfixturevalue("cluster").serve
        for name in serve.status().applications:
            serve.delete(name)
