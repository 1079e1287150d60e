"""`check` of files: for each rule, what it finds and what it lets pass."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM, found

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import _serving
from sagemaker_inference._cli import check as check_command
from sagemaker_inference._cli._checks import target
from sagemaker_inference._schemas.request_files import samples_beside, type_of

MULTI = "com.amazonaws.sagemaker.capabilities.multi-models"
BIDIRECTIONAL = "com.amazonaws.sagemaker.capabilities.bidirectional-streaming"
IMPORT_OF_BIDIRECTIONAL = f"if False:\n    from sagemaker_inference import bidirectional\n{PROGRAM}"


def test_what_is_right_has_no_findings(check):
    document = check(GOOD)
    assert document["findings"] == []
    assert {one["rule"].partition("-")[0] for one in document["skipped"]} == {"run"}


@pytest.mark.parametrize(
    ("rule", "changes", "where", "what"),
    [
        ("layout-requirements", {"code/inference.py": PROGRAM, "code/requirements.txt": ""},
         "requirements.txt", "it is not installed: code/requirements.txt is"),
        ("layout-names", {"json.py": ""}, "json.py", "instead of the package 'json'"),
        ("program-imports", {"inference.py": "import no_such_thing"},
         "inference.py", "No module named 'no_such_thing'"),
        ("program-imports", {"inference.py": "def f(:"}, "inference.py", "SyntaxError"),
        ("program-imports", {"inference.py": "import os\nprint('gone', flush=True)\nos._exit(3)"},
         "inference.py", "ended with 3: gone"),
        ("program-handlers", {"inference.py": PROGRAM.replace("@predictor", "")},
         "inference.py", "no predictor"),
        ("program-hints", {"inference.py": PROGRAM.replace(": np.ndarray", "")},
         "inference.py, line 9", "no type hint"),
        ("program-hints", {"inference.py": PROGRAM.replace("@predictor\ndef predict(data: "
         "np.ndarray, model):\n    return data * model", "class P:\n    def __call__(self, data):\n"
         "        return data\npredictor(P())")}, "inference.py", "no type hint"),
        ("requirements-lines", {"requirements.txt": "pandas>>2\n"},
         "requirements.txt, line 1", "'pandas>>2' is not a requirement"),
        ("requirements-pins", {"requirements.txt": "pandas>=2\nscipy\n"},
         "requirements.txt, line 2", "'scipy' has no version"),
        ("requirements-imports", {"inference.py": f"import helper\n{PROGRAM}",
         "helper.py": "import os, h11\nimport h11._state\n"},
         "helper.py, line 1", "nothing installs h11"),
        ("docker-serve", {"inference.py": PROGRAM.replace("serve(__name__)", "")},
         "Dockerfile, line 9", "inference.py, which does not call serve"),
        ("docker-user", {"Dockerfile": f"{DOCKERFILE}USER model:model\n"},
         "Dockerfile, line 10", "the user is model:model"),
        ("docker-model-folder", {"Dockerfile": f"{DOCKERFILE}COPY a /opt/ml/model/\n"},
         "Dockerfile, line 10", "copied to /opt/ml/model/ is hidden"),
        ("docker-model-folder", {"Dockerfile": f'{DOCKERFILE}ADD ["a", "/opt/ml/model/code"]\n'},
         "Dockerfile, line 10", "copied to /opt/ml/model/code is hidden"),
        ("docker-port", {"Dockerfile": f"{DOCKERFILE}ENV SAGEMAKER_BIND_TO_PORT=9000\n"},
         "Dockerfile", "SAGEMAKER_BIND_TO_PORT to 9000"),
        ("docker-port-label", {"Dockerfile": DOCKERFILE.replace("=true", "=false")},
         "Dockerfile", "there is no label com.amazonaws.sagemaker.capabilities.accept-bind"),
        ("docker-bidirectional-label", {"inference.py": IMPORT_OF_BIDIRECTIONAL},
         "Dockerfile", BIDIRECTIONAL),
        ("docker-models-label", {"Dockerfile": f"{DOCKERFILE}ENV SAGEMAKER_MULTI_MODEL true\n"},
         "Dockerfile", MULTI),
        ("docker-prepare", {"Dockerfile": DOCKERFILE.replace("sagemaker-inference prepare", "")},
         "Dockerfile", "no class data"),
    ],
)  # fmt: skip
def test_each_rule_finds_what_is_wrong(check, monkeypatch, rule, changes, where, what):
    if not rule.startswith("program"):  # which takes another process
        monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    document = check({**GOOD, **changes})
    findings = [one for one in document["findings"] if one["rule"] == rule]
    assert len(findings) == 1
    (finding,) = findings
    assert finding["where"] == where
    assert what in finding["what"]
    assert finding["fix"]
    assert finding["why"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Dockerfile": f"{DOCKERFILE}LABEL {BIDIRECTIONAL}=true\n",
         "inference.py": IMPORT_OF_BIDIRECTIONAL},
        {"Dockerfile": f"{DOCKERFILE}ENV SAGEMAKER_MULTI_MODEL=true\nLABEL {MULTI}=true\n"},
        {"Dockerfile": DOCKERFILE.replace('python", ', 'sagemaker-inference", "serve", '),
         "inference.py": PROGRAM.replace("serve(__name__)", "")},
        {"inference.py": PROGRAM.replace("import model_loader, predictor, serve", "import *")
         .replace("from sagemaker_inference", "import sagemaker_inference as s\nfrom "
                  "sagemaker_inference").replace("serve(__name__)", "s.serve(__name__)")},
        {"inference.py": "from sagemaker_inference import decoder\n@decoder('text/x-a')\n"
         f"def read(body):\n    return body\n{PROGRAM.replace(': np.ndarray', '')}"},
        {"Dockerfile": DOCKERFILE.replace("pip install", "pip install h11"),
         "inference.py": f"import h11\n{PROGRAM}"},
        {"Dockerfile": f"{DOCKERFILE}USER root\n"},
        {"test.py": "", "this.py": ""},
        {"code/inference.py": PROGRAM, "code/requirements.txt": "", "requirements.txt": ""},
    ],
)  # fmt: skip
def test_what_is_right_in_another_way_has_no_errors(check, changes):
    document = check({**GOOD, **changes})
    assert {one["rule"] for one in document["findings"]} <= {"layout-requirements"}


@pytest.mark.parametrize("beside", [(), ("code",), (".",), ("code", ".")])
@pytest.mark.parametrize(
    ("program", "arguments"),
    [("", ["model", "model/inference.py"]), ("code", ["model", "model/code", "model/code/", "."])],
)
def test_the_requirements_are_those_that_the_server_installs(
    tmp_path, monkeypatch, program, arguments, beside
):
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / program / "inference.py").write_text(PROGRAM)
    for folder in beside:
        (model / folder / "requirements.txt").touch()
    installed = _serving._of_folder(str(model)).requirements
    monkeypatch.chdir(model / program if "." in arguments else tmp_path)
    for argument in arguments:
        path = Path(argument if argument == "." else tmp_path / argument)
        checked = target.Target(path)
        found = checked.requirements
        assert (str(found.resolve()) if found else "") == installed
        # Both are not installed.
        assert len(checked.others) == (len(beside) == 2)


def test_requirements_that_others_override_are_named(check, monkeypatch):
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "deeper/inference.py")
    files = {"code/deeper/inference.py": PROGRAM, "code/deeper/requirements.txt": ""}
    rule = "layout-requirements"
    assert rule not in [one["rule"] for one in check(files)["findings"]]
    document = check({**files, "code/requirements.txt": ""})
    (finding,) = [one for one in document["findings"] if one["rule"] == rule]
    assert finding["where"] == "code/requirements.txt"
    assert finding["what"] == "it is not installed: code/deeper/requirements.txt is"
    assert finding["fix"] == (
        "Write its lines into code/deeper/requirements.txt, or install it in the Dockerfile."
    )


def test_a_folder_without_a_program_says_where_it_is_looked_for(check, tmp_path):
    document = check({"model/code/inference.py": PROGRAM})
    (finding,) = document["findings"]
    assert finding["rule"] == "layout-program"
    assert finding["fix"].startswith("model/code/inference.py is one folder too deep")
    (tmp_path / "empty").mkdir()
    document = check({}, "empty", "--run")
    (finding,) = document["findings"]
    assert finding["what"] == "there is no inference.py, and no code/inference.py"
    assert {"rule": "run-ping", "reason": "there is no program"} in document["skipped"]


def test_a_program_that_cannot_be_read_leaves_rules_that_read_it_out(check):
    broken = {**GOOD, "inference.py": "def f(:", "Dockerfile": DOCKERFILE}
    document = check(broken, "inference.py", "--run")
    assert found(document) == {"program-imports"}
    reasons = {one["rule"]: one["reason"] for one in document["skipped"]}
    assert reasons["program-hints"] == reasons["run-ping"] == "the program cannot be served"


def test_a_program_is_imported_for_as_long_as_a_start_may_take(check, monkeypatch):
    monkeypatch.setattr(target, "IMPORT_SECONDS", 0.01)
    document = check({"inference.py": PROGRAM})
    assert found(document) == {"program-imports"}
    assert "not imported within 0.01 s" in document["findings"][0]["what"]


def test_a_process_that_a_program_starts_is_not_waited_for(check, tmp_path):
    start = (
        "import subprocess, sys\nfrom pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
    )
    began = time.monotonic()
    try:
        assert found(check({"inference.py": start + PROGRAM})) == set()
        assert time.monotonic() - began < 50
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_program_that_asks_somebody_gets_no_answer(check):
    document = check({"inference.py": f"input()\n{PROGRAM}"})
    assert "EOFError" in document["findings"][0]["what"]


def test_a_program_may_be_a_package(check, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "package.program")
    docker = DOCKERFILE.replace('python", "/opt/program/inference.py', "sagemaker-inference")
    files = {"package/__init__.py": "", "package/program.py": PROGRAM, "Dockerfile": docker}
    assert found(check(files)) == set()
    files["package/program.py"] = PROGRAM.replace(": np.ndarray", "").replace("@pred", "#")
    document = check(files)
    assert found(document) == {"program-handlers"}
    assert document["findings"][0]["where"] == "package.program"


def test_an_edit_that_keeps_time_and_size_is_seen(check, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    program = tmp_path / "inference.py"
    check({"inference.py": PROGRAM})
    written = program.stat().st_mtime_ns
    program.write_text(PROGRAM.replace("import numpy", "import nunpy"))
    os.utime(program, ns=(written, written))
    assert found(check({}, "inference.py")) == {"program-imports"}
    assert not (tmp_path / "__pycache__").exists()


def test_text_names_what_where_the_fix_and_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inference.py").write_text(PROGRAM.replace(": np.ndarray", ""))
    assert main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "warning program-hints: inference.py, line 9: its input has no type hint"
    assert lines[1].startswith("  fix: Annotate it")
    assert lines[2].startswith("  why: ")
    assert "ok program-imports" in lines
    assert any(line.startswith("skipped there is no Dockerfile: docker-") for line in lines)
    assert re.fullmatch(r"0 errors, 1 warning, \d+ passed, \d+ skipped", lines[-1])


def test_a_file_elsewhere_is_named_by_its_path(check, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    document = check({"inference.py": PROGRAM, "json.py": ""}, str(tmp_path))
    assert document["findings"][0]["where"] == f"{tmp_path}/json.py"


def test_types_of_requests_are_known_by_their_names(tmp_path):
    types = ("text/x-points", "application/x-npz")
    names = {"a.JSON": "application/json", "a.points": "text/x-points", "a": "", "a.xyz": ""}
    assert {name: type_of(tmp_path / name, types) for name in names} == names
    for name in ("request.csv", "request.points", "request.xyz", "other.csv"):
        (tmp_path / name).touch()
    assert samples_beside(tmp_path, types) == [
        (tmp_path / "request.csv", "text/csv"),
        (tmp_path / "request.points", "text/x-points"),
    ]


def test_what_is_not_there_is_a_wrong_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "nothing"]) == 2
    assert "there is no nothing. Name a folder, a program's file or" in capsys.readouterr().err
    for url in ("http://", "http://a:port", "http://a:99999", "http://a:0", "http://[a"):
        assert main(["check", url]) == 2
        assert f"'{url}' is not a URL" in capsys.readouterr().err


def test_a_terminal_shows_what_is_waited_for(started, check, monkeypatch, capsys, tmp_path):
    for name, text in GOOD.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["check", "--run", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "check: " not in out
    shown = [text for text in err.split("\r") if text.strip()]
    assert shown[0] == "check: the server starts, and loads the model ..."
    assert "check: run-size ..." in shown
    assert shown[-1] == "check: the server stops ..."
    # Nothing is left of it.
    assert err.endswith(f"\r{' ' * len(shown[-1])}\r")


def test_what_takes_long_is_said_without_a_terminal(check, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(check_command, "_QUIET_SECONDS", 0.5)
    (tmp_path / "inference.py").write_text(f"import time\ntime.sleep(2)\n{PROGRAM}")
    assert main(["check", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert "check: the program is imported ... (for 0.5 s now)\n" in err
    assert "layout" not in err
