import importlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

import pytest
from support.developed import PROGRAM

import sagemaker_inference
from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import _containers, serve
from sagemaker_inference._cli._command import CommandError, needed
from sagemaker_inference._cli._group import COMMANDS
from sagemaker_inference.errors import StartError


def test_serve_without_a_program_says_what_is_missing(tmp_path):
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "sagemaker_inference", "serve"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"was not found in {tmp_path}/model/code" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_serve_starts_the_model_server_and_returns_when_it_has_stopped(monkeypatch):
    from sagemaker_inference import model_server

    calls = []
    monkeypatch.setattr(model_server, "start_model_server", lambda: calls.append("served"))
    # The second, as users may write it, is read by click.
    assert [main(["serve"]), main(["serve", "--"])] == [0, 0]
    assert calls == ["served", "served"]


def test_files_that_another_package_has_overwritten_are_said_in_one_line(monkeypatch, capsys):
    monkeypatch.delattr(sagemaker_inference, "default_registry")
    assert main(["serve"]) == 1
    said = capsys.readouterr().err
    assert "pip install --force-reinstall --no-deps sagemaker-inference\n" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        ([], "Missing command. See: sagemaker-inference --help"),
        (["train"], "No such command 'train'. See: sagemaker-inference --help"),
        (["serve", "--speed"], "No such option --speed. See: sagemaker-inference serve --help"),
    ],
)
def test_a_line_that_cannot_be_understood_is_refused_in_one_line(argv, problem, capsys):
    assert main(argv) == 2
    # Releases of click write it in two ways.
    said = re.sub(r"option:? '?--speed'?", "option --speed", capsys.readouterr().err)
    assert said == f"sagemaker-inference: error: {problem}\n"


def test_help_names_the_commands_in_their_order(capsys):
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    places = [help_text.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_ends_with_examples(name, capsys):
    assert main([name, "-h"]) == 0
    _, _, examples = capsys.readouterr().out.partition("\nExamples:\n")
    lines = examples.splitlines()
    assert lines
    assert all(line.startswith(f"  sagemaker-inference {name}") for line in lines)


def test_a_problem_of_the_start_is_one_line(monkeypatch, capsys):
    def fail():
        raise StartError("no model")

    monkeypatch.setattr(_containers, "prepare", fail)
    assert main(["prepare", "--"]) == 1
    assert capsys.readouterr().err == "sagemaker-inference: error: no model\n"


def test_an_interrupted_command_ends_as_the_shell_expects(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(_containers, "prepare", interrupt)
    assert main(["prepare", "--"]) == 130


def test_a_library_of_an_extra_is_imported():
    assert needed("json.decoder").JSONDecoder


def test_a_missing_library_is_said_with_its_extra():
    with pytest.raises(CommandError) as caught:
        needed("no_such_library.console")
    assert caught.value.format_message() == (
        "this command needs no_such_library, which is not installed. Run: "
        "pip install 'sagemaker-inference[dev]'"
    )


def test_versions_are_those_of_what_serves(capsys):
    assert main(["--version"]) == 0
    ours, python, java, mms, netty = capsys.readouterr().out.splitlines()
    assert ours == f"sagemaker-inference {sagemaker_inference.__version__}"
    assert python == f"Python {platform.python_version()}"
    assert re.fullmatch(r"Java \d[\w.+]* \(/.*\)", java)
    assert mms == f"Multi Model Server {metadata.version('multi-model-server')}"
    assert re.fullmatch(r"Netty 4\.1\.\d+\.Final", netty)


def test_versions_without_java_say_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert main(["--version"]) == 0
    assert f"\nJava not found: JAVA_HOME='{tmp_path}'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["model_loader", "predictor", "serve"])
def test_a_program_under_overwritten_files_is_told_in_one_line(tmp_path, name):
    package = Path(sagemaker_inference.__file__).parent
    shutil.copytree(package, tmp_path / "sagemaker_inference")
    # As the PyTorch toolkit's wheel has it.
    (tmp_path / "sagemaker_inference" / "__init__.py").write_text("")
    code = f"from sagemaker_inference import {name}"
    # -S: what measures coverage would ask for these files when they are gone.
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: another package (sagemaker-pytorch-inference?)")
    assert last.endswith("pip install --force-reinstall --no-deps sagemaker-inference")


@pytest.mark.parametrize("name", ["model_loader", "predictor", "serve"])
def test_the_modules_that_say_so_are_of_no_other_use(name):
    with pytest.raises(ImportError, match="Install this one last"):
        importlib.import_module(f"sagemaker_inference.{name}")


def _run_with(output, words, cwd):
    """Run a command line in a process, with another standard output; returns its code and log."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with output as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "sagemaker_inference", *words],
            cwd=cwd,
            env=environment,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr


def test_whoever_reads_one_line_does_not_stop_what_is_written(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    code, log = _run_with(os.fdopen(writer, "w"), ["new", "mine", "--kind", "sklearn"], tmp_path)
    assert (code, log) == (1, "")
    assert len([*(tmp_path / "mine").iterdir()]) == 5
    reader, writer = os.pipe()
    os.close(reader)
    words = ["schema", "mine/inference.py", "--samples", "samples"]
    assert _run_with(os.fdopen(writer, "w"), words, tmp_path) == (1, "")
    assert {path.suffix for path in (tmp_path / "samples").iterdir()} >= {".csv", ".json", ".npy"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="an output that is full, of Linux")
def test_an_output_that_is_full_is_said_in_one_line(tmp_path):
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "request.json").write_text("[1]")
    for words in (["--version"], ["invoke", "inference.py"], ["schema", "inference.py"]):
        code, log = _run_with(Path("/dev/full").open("w"), words, tmp_path)  # noqa: SIM115 - it does
        assert code == 1, words
        assert log.splitlines()[-1] == (
            "sagemaker-inference: error: [Errno 28] No space left on device"
        )
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["new", "file/mine", "--kind", "sklearn"], 1, "file/mine cannot be used: Not a direct"),
        (["schema", "inference.py", "--samples", "file/a"], 1, "file/a cannot be used: Not a dire"),
        (["schema", "inference.py", "-o", "file/a"], 2, "there is no folder file for a: create it"),
        (["schema", "inference.py", "-o", "none/a"], 2, "there is no folder none for a: create it"),
        (["schema", "inference.py", "-o", "."], 2, "Invalid value for '-o' / '--output': File '.'"),
        (["invoke", "inference.py", "-o", "none/a"], 2, "there is no folder none for a: create it"),
        (["transform", "inference.py", "file", "none/a"], 2, "there is no folder none for a: c"),
        (["ray", "inference.py", "--write", "none/a"], 2, "there is no folder none for a: create "),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_said_in_one_line(
    words, code, problem, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("inference.py").write_text(PROGRAM)
    Path("request.json").write_text("[1]")
    assert main(words) == code
    said = capsys.readouterr().err
    assert said.startswith(f"sagemaker-inference: error: {problem}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["invoke", "URL", "request.json", "--model-dir", "."], "no effect on the server at http"),
        (["transform", "URL", "request.json", "out", "--model-dir", "."], "no effect on the ser"),
        (["replay", "request.json", "URL", "--model-dir", "."], "no effect on the server at http"),
        (["check", "URL", "--model-dir", "."], "no effect on the server at http://127.0.0.1:1: "),
        (["check", "--model-dir", "."], "--model-dir has no effect without --run: add it"),
        (["emulate", "--url", "URL", "--model-dir", "."], "of a PROGRAM's model, and there is non"),
        (["schema", "inference.py", "--path", "/a"], "--path goes with --format json-schema or --"),
        (["schema", "inference.py", "--samples", "a", "-o", "b"], "pass one of the two"),
    ],
)  # fmt: skip
def test_an_option_that_would_have_no_effect_is_refused(
    words, problem, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("inference.py").write_text(PROGRAM)
    Path("request.json").write_text("[1]")
    assert main([word.replace("URL", "http://127.0.0.1:1") for word in words]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "many"])
@pytest.mark.parametrize("option", ["--relative", "--absolute"])
def test_a_number_that_nothing_can_be_compared_with_is_refused(option, text, tmp_path, capsys):
    path = tmp_path / "inference.py"
    path.touch()
    assert main(["replay", str(path), str(path), option, text]) == 2
    assert f"Invalid value for '{option}': " in capsys.readouterr().err


def test_an_output_that_is_closed_is_not_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("inference.py").write_text(PROGRAM)
    Path("request.json").write_text("[1]")
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["invoke", "inference.py"]) == 0


def test_an_interruption_while_a_command_is_imported_is_its_exit_code(monkeypatch):
    def interrupt(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("sagemaker_inference._cli._group.run", interrupt)
    assert main(["check"]) == 130


def test_inputs_of_transform_and_outputs_have_to_fit(tmp_path, capsys):
    for name in ("in", "file"):
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    problems = {
        ("in", "fifo"): "fifo is neither a file nor a folder",
        ("empty", "out"): "there are no files in ",
        ("empty", "file"): "is a folder, and ",
    }
    for (source, target), problem in problems.items():
        words = [__file__, str(tmp_path / source), str(tmp_path / target)]
        assert main(["transform", *words]) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_signal_is_an_exit_code(monkeypatch):
    def terminate(*_arguments, **_options):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr("sagemaker_inference._cli.check._look", terminate)
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.signal(number, signal.SIG_DFL)
        try:
            assert main(["check", str(Path(__file__).parent)]) == 128 + number
            assert signal.getsignal(number) is signal.SIG_DFL
        finally:
            signal.signal(number, before)


def test_a_signal_that_is_taken_stays_so(monkeypatch):
    # As a program has it that runs commands, or nohup. Threads cannot have any.
    seen = []
    monkeypatch.setattr(
        "sagemaker_inference._cli.check._look",
        lambda *_: seen.append(signal.getsignal(signal.SIGTERM)),
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        for run in (lambda call: call(), _in_thread):
            run(lambda: main(["check", str(Path(__file__).parent)]))
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIG_IGN] * 2


def _in_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_help_is_there_for_a_command_that_was_parsed_alone(capsys):
    serve.command.make_context("serve", ["inference.py"])
    assert main(["serve", "-h"]) == 0
    assert capsys.readouterr().out.startswith("Usage: sagemaker-inference serve")
