"""The examples in place of AWS's images do what their READMEs say, on SageMaker's layout."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.documents import PYTHON, ROOT, Curl, exchanges, run, served

from sagemaker_inference.codecs import recordio

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = ROOT / "examples"
COMMAND = str(Path(PYTHON).with_name("sagemaker-inference"))
# What writes the model of each, and the library that tells whether its own are there.
IMAGES = {
    "container_pytorch": ("export.py", "torch"),
    "container_sklearn": ("train.py", "sklearn"),
    "container_xgboost": ("train.py", "xgboost"),
}
HEADING = "## With a script\n"


def marks(name: str) -> list[pytest.MarkDecorator]:
    library = IMAGES[name][1]
    is_missing = (
        importlib.util.find_spec(library) is None and os.environ.get("REQUIRE_LIBRARIES") != "1"
    )
    environment = "examples" if library == "torch" else "full"
    reason = f"examples/{name} was NOT RUN: {library} is not installed; tox -e {environment} has it"
    kind = pytest.mark.examples if library == "torch" else pytest.mark.once
    return [pytest.mark.skipif(is_missing, reason=reason), kind]


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=marks(name)) for name in names]
    )


def instructions(name: str, word: str) -> list[str]:
    text = (EXAMPLES / name / "Dockerfile").read_text()
    return re.findall(rf"^{word} (.*)$", text, re.MULTILINE)


@pytest.fixture
def base_dir(name: str, tmp_path: Path) -> Path:
    """What SageMaker mounts as /opt/ml, without a script."""
    run([PYTHON, EXAMPLES / name / IMAGES[name][0], tmp_path / "ml" / "model"])
    return tmp_path / "ml"


def add_script(name: str, base_dir: Path) -> None:
    shutil.copytree(EXAMPLES / name / "code", base_dir / "model" / "code")


@contextmanager
def started(name: str, base_dir: Path, **variables: str) -> Iterator[int]:
    """Run the entry point of an image, with the variables that the image sets."""
    (entry_point,) = instructions(name, "ENTRYPOINT")
    words = [
        word.replace("/opt/container", str(EXAMPLES / name)) for word in json.loads(entry_point)
    ]
    words[0] = str(Path(PYTHON).with_name(words[0]))
    of_image = dict(line.split("=", 1) for line in instructions(name, "ENV"))
    env = {**of_image, "SAGEMAKER_BASE_DIR": str(base_dir), **variables}
    with served([*words, "serve"], base_dir.parent / "log", env=env) as port:
        yield port


def ask(port: int, body: bytes, content_type: str, **headers: str) -> tuple[int, str]:
    sent = {"Content-Type": content_type, **headers}
    reply = Curl("/invocations", sent, body).send(port)
    return reply.status, reply.body


@pytest.mark.java
@pytest.mark.parametrize(
    ("name", "has_script"),
    [
        pytest.param(name, has_script, marks=marks(name))
        for name in IMAGES
        for has_script in (False, True)
        if has_script or name != "container_sklearn"
    ],
)
def test_an_image_answers_as_its_readme_says(
    name: str, base_dir: Path, *, has_script: bool
) -> None:
    if has_script:
        add_script(name, base_dir)
    readme = EXAMPLES / name / "README.md"
    before, heading, _ = readme.read_text().partition(HEADING)
    line = before.count("\n") if heading else 0
    part = [
        one for one in exchanges(readme) if (int(one.name.rpartition(":")[2]) > line) == has_script
    ]
    assert part
    with started(name, base_dir) as port:
        for exchange in part:
            exchange.check(exchange.curl.send(port))


@pytest.mark.java
@every("container_pytorch", "container_sklearn", "container_xgboost")
def test_a_script_is_served_where_the_sdk_submits_it(name: str, base_dir: Path) -> None:
    submitted = base_dir / "code"
    shutil.copytree(EXAMPLES / name / "code", submitted)
    (submitted / "inference.py").rename(submitted / "entry.py")
    variables = {"SAGEMAKER_PROGRAM": "entry.py", "SAGEMAKER_SUBMIT_DIRECTORY": str(submitted)}
    of_script = exchanges(EXAMPLES / name / "README.md")
    exchange = [one for one in of_script if one.reply.status == 200][-1]
    with started(name, base_dir, **variables) as port:
        exchange.check(exchange.curl.send(port))


@pytest.mark.java
@every("container_xgboost")
def test_the_built_in_algorithm_of_xgboost(name: str, base_dir: Path) -> None:
    flats = [[50.0, 1.0], [80.0, 0.0]]
    with started(name, base_dir, SAGEMAKER_BATCH="true") as port:
        # A line is a record in a batch transform job.
        assert ask(port, b"50,1\n80,0", "text/csv; label_size=0") == (200, "800.0\n750.0\n")
        body = recordio.encode(flats)
        assert ask(port, body, "application/x-recordio-protobuf") == (200, "800.0\n750.0\n")
        assert ask(port, b"0:50 1:1", "text/x-libsvm") == (200, "800.0\n")
        assert ask(port, b"[[50, 1]]", "application/json")[0] == 415
        assert ask(port, b"50,1", "text/csv", Accept="image/png, */*") == (200, "800.0\n")
        assert ask(port, b"50,1", "text/csv", Accept="image/png")[0] == 406
        assert ask(port, b"50,rent", "text/csv")[0] == 400
        assert ask(port, b"50,1", "text/csv", Accept="application/json") == (200, "800.0\n")


@pytest.mark.java
@every("container_xgboost")
def test_rows_for_xgboost_are_read_as_aws_does(name: str, base_dir: Path) -> None:
    with started(name, base_dir) as port:
        for text in (b"50;1\n80;0\n", b"50\t1\r\n80\t0", b"50|1\n80|0", b"50 1\n80 0"):
            assert ask(port, text, "text/csv") == (200, "800.0\n750.0\n"), text
        assert ask(port, b",1", "text/csv")[0] == 200
        status, reply = ask(port, b"50\n80", "text/csv")
        assert (status, "The model has 2 columns, and the rows have 1." in reply) == (422, True)
        assert ask(port, recordio.encode([[50.0]]), "application/x-recordio-protobuf")[0] == 422
        # What a sparse row does not name is missing.
        assert ask(port, b"0:50", "text/libsvm")[0] == 200


@pytest.mark.java
@every("container_xgboost")
def test_several_boosters_answer_with_their_mean(name: str, base_dir: Path) -> None:
    model = base_dir / "model" / "model.ubj"
    # AWS's training writes a file without a suffix.
    shutil.copy(model, model.with_name("xgboost-model"))
    (base_dir / "model" / "folder").mkdir()
    (base_dir / "model" / ".DS_Store").write_bytes(b"\0")
    with started(name, base_dir) as port:
        assert ask(port, b"50,1\n80,0", "text/csv") == (200, "800.0\n750.0\n")


@every("container_xgboost")
def test_several_boosters_vote_where_they_predict_classes(name: str, tmp_path: Path) -> None:
    run([PYTHON, "-c", ENSEMBLE, EXAMPLES / name, tmp_path])


# Each model always predicts its class: two of three the last.
ENSEMBLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import numpy, xgboost
from xgboost_handler import AlgorithmHandler, most_voted

handler = AlgorithmHandler()
rows = xgboost.DMatrix(numpy.zeros((4, 1)), [0, 1, 2, 0])
options = {"objective": "multi:softmax", "num_class": 3, "nthread": 1, "base_score": 0}
for name, one in (("a", 0), ("b", 2), ("c", 2)):
    rows.set_label([one] * 4)
    booster = xgboost.train(options, rows, 3)
    booster.save_model(f"{sys.argv[2]}/{name}.ubj")
data = handler.default_input_fn("0\\n0", "text/csv")
boosters = handler.default_model_fn(sys.argv[2])
prediction = handler.default_predict_fn(data, boosters)
assert prediction.tolist() == [2, 2], prediction
assert most_voted([[2, 1], [1, 1], [0, 2]]).tolist() == [0, 1]
assert handler.default_output_fn(prediction, "text/csv") == ("2.0\\n2.0\\n", "text/csv")
os.environ["SAGEMAKER_MULTI_MODEL"] = "true"
assert handler.default_output_fn(prediction, "text/csv") == ("2.0,2.0", "text/csv")
assert handler.default_output_fn(prediction, "application/json")[0] == "[2.0, 2.0]"
os.environ["SAGEMAKER_INFERENCE_ENSEMBLE"] = "false"
boosters = handler.default_model_fn(sys.argv[2])
assert handler.default_predict_fn(data, boosters).tolist() == [0, 0]
"""


@pytest.mark.java
@every("container_pytorch")
def test_the_default_functions_of_pytorch(name: str, base_dir: Path) -> None:
    model = base_dir / "model" / "model.pt"
    model.rename(model.with_name("other.pth"))
    with started(name, base_dir) as port:
        assert ask(port, b"6,1\n3,4", "text/csv", Accept="text/csv") == (200, "2.0\n-5.5\n")
        assert ask(port, b"6,1", "application/pdf")[0] == 415
        assert ask(port, b"6,1", "text/csv", Accept="image/png")[0] == 406


@every("container_pytorch")
def test_a_state_dict_needs_a_script(name: str, tmp_path: Path) -> None:
    message = run([PYTHON, "-c", STATE_DICT, EXAMPLES / name, tmp_path])
    assert f"{tmp_path / 'model.pt'} is not TorchScript" in message
    assert "add code/inference.py with model_fn(model_dir)" in message


STATE_DICT = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from pytorch_handler import PyTorchHandler

torch.save(torch.nn.Linear(2, 1).state_dict(), f"{sys.argv[2]}/model.pt")
try:
    PyTorchHandler().default_model_fn(sys.argv[2])
except ValueError as error:
    print(error)
"""


@every(*IMAGES)
def test_check_finds_nothing_wrong_with_image_and_script(name: str) -> None:
    report = json.loads(run([COMMAND, "check", EXAMPLES / name, "--format", "json"]))
    assert report["findings"] == []
    assert len([rule for rule in report["passed"] if rule.startswith("docker-")]) == 12


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_copies_what_is_there(name: str) -> None:
    sources = [word for line in instructions(name, "COPY") for word in line.split()[:-1]]
    assert {"sagemaker_inference", f"examples/{name}/requirements.txt"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)
    # What the entry point imports is in the image.
    files = {Path(source).name for source in sources}
    assert {path.name for path in (EXAMPLES / name).glob("*_*.py")} <= files


@pytest.mark.parametrize("name", IMAGES)
def test_readme_names_the_files_of_its_folder(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text()
    for file in (EXAMPLES / name).glob("*.*"):
        assert file.name in (*readme.split("`"), "README.md") or f"/{file.name}" in readme, file
    script = "" if name == "container_sklearn" else HEADING
    assert script in readme
