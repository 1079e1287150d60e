"""What ModelBuilder of SageMaker's SDK 3 writes for a container is served as it is."""

from __future__ import annotations

import platform
import shutil
import sys
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from support.documents import PYTHON, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.builder, pytest.mark.filterwarnings("ignore")]

SECRET = "SAGEMAKER_SERVE_SECRET_KEY"  # noqa: S105 - the name of a variable


@pytest.fixture
def pickled_whole() -> Iterator[None]:
    """The classes of this file are in pickles themselves: the container does not have it."""
    import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def doubling() -> Any:
    from sagemaker.serve.spec.inference_spec import InferenceSpec

    class Doubling(InferenceSpec):
        def load(self, model_dir: str) -> int:
            return 2

        def invoke(self, input_object: Any, model: int) -> list[float]:
            return [model * number for number in input_object]

    return Doubling()


def orchestrator() -> Any:
    from sagemaker.serve.spec.inference_base import AsyncCustomOrchestrator

    class Orchestrator(AsyncCustomOrchestrator):
        async def handle(self, data: bytes, context: Any = None) -> bytes:
            return b"asked for " + data

    return Orchestrator()


def hashed(prepare: Callable[..., Any], code: Path, spec: Any, pickled: Any) -> dict[str, str]:
    """Have the SDK write the files; the variables of the container."""
    from sagemaker.serve.detector.pickler import save_pkl

    save_pkl(code, pickled)
    secret = prepare(spec)
    return {SECRET: secret} if secret else {}


def test_an_inference_spec_is_served_in_the_layout_of_its_uploads(
    pickled_whole: None, tmp_path: Path
) -> None:
    from sagemaker.core.local.local_session import LocalSession
    from sagemaker.serve.builder.schema_builder import SchemaBuilder
    from sagemaker.serve.model_server.multi_model_server.prepare import prepare_for_mms

    built, base = tmp_path / "built", tmp_path / "ml"
    spec = doubling()
    env = hashed(
        lambda spec: prepare_for_mms(str(built), [], {"auto": False}, None, "", spec),
        built / "code",
        spec,
        (spec, SchemaBuilder([1.5], [3.0])),
    )
    # For endpoints, and in local mode, the folder `code` alone is what a container has.
    shutil.copytree(built / "code", base / "model")
    assert sorted(path.name for path in (base / "model").iterdir()) == [
        "inference.py",
        "metadata.json",
        "requirements.txt",
        "serve.pkl",
    ]
    env |= {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_REGION": "us-east-1",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "10",
        "LOCAL_PYTHON": platform.python_version(),
    }
    command = [PYTHON, "-m", "sagemaker_inference", "serve"]
    with served(command, tmp_path / "log", env=env) as port:
        session = LocalSession()
        session.config = {"local": {"serving_port": port}}
        reply = session.sagemaker_runtime_client.invoke_endpoint(
            b"[1.5, 2]", "any", "application/json", "application/json"
        )
        assert reply["Body"].read() == b"[3.0, 4]"
    log = (tmp_path / "log").read_text()
    assert f"installing the packages of {base}/model/requirements.txt" in log


def test_a_custom_orchestrator_is_served_by_its_handler(
    pickled_whole: None, tmp_path: Path
) -> None:
    from sagemaker.serve.model_server.smd.prepare import prepare_for_smd

    model = tmp_path / "ml" / "model"
    code, spec = model / "code", orchestrator()
    env = hashed(
        lambda spec: prepare_for_smd(str(model), [], {"auto": False}, spec),
        code,
        spec,
        (spec, None),
    )
    # It looks at one fixed path, which this machine does not have.
    program = code / "inference.py"
    text = program.read_text()
    assert "/opt/ml/model/code/" in text
    program.write_text(text.replace("/opt/ml/model/code/", f"{code}/"))
    env |= {
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
        "SAGEMAKER_INFERENCE_CODE": "inference.handler",
        "SAGEMAKER_INFERENCE_CODE_DIRECTORY": str(code),
        "SAGEMAKER_REGION": "us-east-1",
        "LOCAL_PYTHON": platform.python_version(),
    }
    command = [PYTHON, "-m", "sagemaker_inference", "serve"]
    with (
        served(command, tmp_path / "log", env=env) as port,
        urlopen(f"http://127.0.0.1:{port}/invocations", b"a cat") as reply,
    ):
        assert reply.read() == b"asked for a cat"
