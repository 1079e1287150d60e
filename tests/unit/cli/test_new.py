"""`new`: each kind of program passes `check`, and its own test."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli.new import KINDS

# Where the libraries are that the tests need; of the other kinds, they need none.
NEEDY = {
    "sklearn": pytest.mark.once,
    "torch": pytest.mark.examples,
    "xgboost": pytest.mark.examples,
}
TESTED = [pytest.param(kind, marks=[NEEDY[kind]] if kind in NEEDY else []) for kind in KINDS]
HUGGING_FACE = """
import json, sys
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
folder = Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "wonderful", "film", "."]
(folder / "vocab.txt").write_text("\\n".join(words))
BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
config = BertConfig(
    vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=8, id2label={0: "NEGATIVE", 1: "POSITIVE"},
)
BertForSequenceClassification(config).save_pretrained(folder)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_passes_check(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine", "--kind", kind]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written == [
        f"mine/{name}"
        for name in (
            "Dockerfile",
            "inference.py",
            "request.json",
            "requirements.txt",
            "test_inference.py",
        )
    ]
    assert main(["check", "mine", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] == []
    assert {"docker-entrypoint", "requirements-pins", "program-hints"} <= {*document["passed"]}
    json.loads((tmp_path / "mine" / "request.json").read_text())


@pytest.mark.parametrize("kind", TESTED)
def test_the_test_of_each_kind_passes(kind, tmp_path):
    assert main(["new", str(tmp_path / "mine"), "--kind", kind]) == 0
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            f"--basetemp={tmp_path / 'temporary'}",
        ],
        cwd=tmp_path / "mine",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_model_of_hugging_face_is_served(tmp_path, monkeypatch, capfdbinary):
    # torch makes it when it is imported, and leaves it behind.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch"))
    model = tmp_path / "model"
    model.mkdir()
    subprocess.run([sys.executable, "-c", HUGGING_FACE, str(model)], check=True)
    program = str(tmp_path / "mine" / "inference.py")
    assert main(["new", str(tmp_path / "mine"), "--kind", "huggingface"]) == 0
    capfdbinary.readouterr()
    assert main(["invoke", program, "--model-dir", str(model)]) == 0
    (answer,) = json.loads(capfdbinary.readouterr().out)
    assert answer["label"] in {"NEGATIVE", "POSITIVE"}
    assert 0 < answer["score"] < 1


def test_a_folder_with_files_and_a_file_are_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file"):
        assert main(["new", str(path), "--kind", "sklearn"]) == 2
        assert "is not an empty folder. Choose another name" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    assert main(["new", str(tmp_path / "empty"), "--kind", "sklearn"]) == 0
