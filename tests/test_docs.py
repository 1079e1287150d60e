"""The documentation says what is so: its blocks run, and its tables are compared with the code."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest
from support import mms_bytes
from support.documents import ROOT, blocks, exchanges
from support.terminal import check_session, commands_in, is_as_shown

import sagemaker_inference
from sagemaker_inference import (
    _variables,
    codecs,
    default_registry,
    errors,
)
from sagemaker_inference._aws.script_functions import SCRIPT_FUNCTIONS
from sagemaker_inference._cli._checks import rules
from sagemaker_inference._http.context import Context
from sagemaker_inference._inference import assembly
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from support.documents import Block

    from sagemaker_inference import Registry

PACKAGE: Final = ROOT / "sagemaker_inference"
README: Final = ROOT / "README.md"
HANDLERS: Final = ROOT / "docs" / "handlers.md"
CONFIGURATION: Final = ROOT / "docs" / "configuration.md"
DESIGN: Final = ROOT / "docs" / "design.md"
# They follow each other in one folder: their files are written, and their commands run.
TUTORIAL: Final = [
    ROOT / "docs" / f"{name}.md" for name in ("tutorial", "tutorial-image", "tutorial-sagemaker")
]
DOCUMENTS: Final = [
    README,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
# Issue 2 has these two, letter by letter: they are what a visitor types first.
COMMANDS: Final = [
    (
        'python3 -m venv .venv && .venv/bin/pip install ".[java]" '
        "&& .venv/bin/python examples/iris/inference.py\n"
    ),
    "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox\n",
]


def located(language: str) -> list[object]:
    """All blocks of a language, each under the name of its place."""
    return [
        pytest.param(block, id=f"{path.relative_to(ROOT)}:{block.line}")
        for path in DOCUMENTS
        for block in blocks(path)
        if block.language == language and not (language == "python" and path in TUTORIAL)
    ]


def rows(path: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = path.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def beside_iris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the folder of the program that the documents begin with."""
    folder = ROOT / "examples" / "iris"
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("inference", None)


@pytest.mark.usefixtures("beside_iris")
@pytest.mark.parametrize("block", located("python"))
def test_python_block_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("block")
    # Where classes look for the module that they are defined in.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with default_registry.isolated() as registry:
        program = compile(block.text, "block.py", "exec", dont_inherit=True)
        exec(program, vars(module))  # noqa: S102
        if "serve(__name__)" in block.text:
            assembly.assemble(registry, "block.py")


def test_readme_has_the_two_commands() -> None:
    assert [block.text for block in blocks(README) if block.language == "sh"][1:3] == COMMANDS


def test_every_curl_command_of_the_readme_shows_its_reply() -> None:
    commands = [block for block in blocks(README) if block.text.startswith("curl")]
    assert len(exchanges(README)) == len(commands) > 0


@pytest.mark.parametrize("block", located("sh"))
def test_shell_block_names_files_that_exist(block: Block) -> None:
    for name in re.findall(r"(?<![\w/.])(?:examples|docs|tests)/[\w./-]+", block.text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\.venv/bin/(\w+)", block.text):
        assert name in ("activate", "pip", "python", "tox")


def test_every_fence_has_a_language() -> None:
    for path in DOCUMENTS:
        fences = re.findall(r"^```(.*)$", path.read_text(), re.MULTILINE)
        assert fences[1::2] == [""] * (len(fences) // 2), path
        assert all(fences[::2]), path


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            names = [re.sub(r"[^\w -]", "", heading.lower()) for heading in headings]
            assert anchor in [name.replace(" ", "-") for name in names], link


def test_table_of_variables_is_the_codes() -> None:
    # Made by: python -c "from sagemaker_inference import _variables; print(_variables.table())"
    assert _variables.table() in CONFIGURATION.read_text(), "make the table anew"


def test_table_of_rules_is_the_codes() -> None:
    # Made by: python -c "from sagemaker_inference._cli._checks import rules; print(rules.table())"
    assert rules.table() in (ROOT / "docs" / "check.md").read_text(), "make the table anew"


@pytest.mark.java
@pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")),
    reason="THE TUTORIAL WAS NOT RUN: bash or curl is not installed",
)
@pytest.mark.parametrize(
    "pages", [TUTORIAL, [ROOT / "docs" / "multi-model.md"]], ids=["tutorial", "multi-model"]
)
def test_session_is_what_a_terminal_shows(pages: list[Path], tmp_path: Path) -> None:
    """The files and commands of pages, from an empty folder, with servers in the background."""
    (tmp_path / "empty").mkdir()
    check_session(pages, tmp_path / "empty", commands_in(tmp_path / "bin"))


@pytest.mark.once
@pytest.mark.parametrize("name", ["capture", "check", "invoke", "new", "schema", "transform"])
def test_transcript_is_what_a_terminal_shows(name: str, tmp_path: Path) -> None:
    """The blocks of a page follow each other, in a folder with the example of the irises."""
    shutil.copytree(ROOT / "examples" / "iris", tmp_path / "iris")
    path = commands_in(tmp_path / "bin")
    transcripts = [
        block for block in blocks(ROOT / "docs" / f"{name}.md") if block.language == "console"
    ]
    assert transcripts
    for block in transcripts:
        for exchange in block.text.split("$ ")[1:]:
            line, _, wanted = exchange.partition("\n")
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                cwd=tmp_path / "iris",
                env={**os.environ, "PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert is_as_shown(done.stdout, wanted), (line, done.stdout)


# Between our own processes, and in the stock command's configuration.
INTERNAL: Final = ("SAGEMAKER_INFERENCE_", "SAGEMAKER_HANDLER")


def test_every_variable_that_the_code_names_is_in_the_table() -> None:
    named = {variable.name for variable in _variables.VARIABLES}
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"(?<![A-Z_])SAGEMAKER_[A-Z_]*[A-Z]", path.read_text()):
            assert name in named or name.startswith(INTERNAL), (path, name)


def test_every_variable_in_the_documents_is_in_the_table() -> None:
    documented = {
        name for row in rows(CONFIGURATION, "Environment variables") for name in code(row[0])
    }
    for path in DOCUMENTS:
        # An image in place of AWS's reads variables that are its own.
        of_example = "".join(file.read_text() for file in path.parent.glob("*_handler.py"))
        for name in re.findall(r"(?<![A-Z_])SAGEMAKER_[A-Z_]*[A-Z]", path.read_text()):
            assert name in documented or name in of_example, path


def test_queries_of_metrics_name_those_there_are() -> None:
    path = ROOT / "docs" / "metrics.md"
    there = {code(row[0])[0] for row in rows(path, "What the server counts")}
    tables = rows(path, "Questions and answers") + rows(path, "Alarms")
    asked = re.findall(r"sagemaker_\w+", " ".join(row[1] for row in tables))
    assert len(asked) > 10
    for name in asked:
        assert name in there or re.sub("_(bucket|sum|count)$", "", name) in there, name


def test_table_of_decorators_is_what_handlers_are_offered() -> None:
    known = [role for role in vars(roles).values() if isinstance(role, roles.Role)]
    documented = {
        code(row[0])[0].split("(")[0].lstrip("@"): tuple(code(row[1]))
        for row in rows(HANDLERS, "Decorators")
    }
    assert documented == {role.name: role.arguments for role in known}
    for name in documented:
        assert callable(getattr(sagemaker_inference, name))


def test_script_functions_are_named() -> None:
    section = HANDLERS.read_text().split("## Programs for AWS's toolkit")[1]
    assert {name for name in code(section) if name.endswith("_fn")} == set(SCRIPT_FUNCTIONS)


def test_table_of_the_context_is_what_a_context_has() -> None:
    context = Context()
    documented = [name for row in rows(HANDLERS, "The context") for name in code(row[0])]
    for name in documented:
        assert hasattr(context, name), name
    for row in rows(HANDLERS, "The context"):
        if "set it" in row[1]:
            setattr(context, code(row[0])[0], "1")


def test_table_of_formats_is_what_codecs_read_and_write() -> None:
    table = rows(ROOT / "docs" / "formats.md", "Content types")
    documented = [name for row in table for name in code(row[0])]
    assert sorted(documented) == sorted(codecs.decodable())
    only_read = {name for row in table if "(in only)" in row[0] for name in code(row[0])}
    assert set(codecs.decodable()) - set(codecs.encodable()) == only_read


def test_options_of_batches_exist_and_are_all_named() -> None:
    named: set[str] = set()
    for path in (README, HANDLERS):
        for call in re.findall(r"`?@predictor\((\w+=[^)]*)\)", path.read_text()):
            expression = ast.parse(f"f({call})", mode="eval").body
            assert isinstance(expression, ast.Call)
            options = {str(k.arg): ast.literal_eval(k.value) for k in expression.keywords}
            assert Batching(**options).problem() is None
            named.update(options)
        named.update(re.findall(r"`(\w+)=(?:True|False)`", path.read_text()))
    assert named == {field.name for field in dataclasses.fields(Batching)}


def test_statuses_in_the_documents_are_those_of_errors() -> None:
    statuses = {
        int(found.status)
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.InferenceError)
    }
    for row in rows(ROOT / "docs" / "errors.md", "What a client gets"):
        assert {int(status) for status in row[0].split(", ")} <= statuses


def test_drawing_of_rooms_is_the_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    contract = text.split("layers = [\n", 1)[1].split("]", 1)[0]
    rows = [line.strip().strip('",') for line in contract.splitlines()]
    assert "\n".join(rows).strip() in DESIGN.read_text(), "docs/design.md: copy the rows"
    for name in re.findall(r"[a-z_]+", contract):
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file(), name


@pytest.mark.parametrize("path", [README, DESIGN, HANDLERS], ids=lambda path: path.name)
def test_files_in_prose_exist(path: Path) -> None:
    for name in code(path.read_text()):
        if re.fullmatch(r"(\w+/)*\w+\.py", name) and name not in ("inference.py", "train.py"):
            assert (PACKAGE / name).is_file(), name


def test_the_road_of_a_body_is_the_codes(registry: Registry) -> None:
    """The files between a worker's socket and the predictor, as a profiler sees them."""
    entered: list[str] = []

    def enter(frame: FrameType, event: str, _argument: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE.name in file.parts:
            entered.append(str(file).rpartition(f"{PACKAGE.name}/")[2])

    def predict(data: object, model: object) -> object:
        del model
        sys.setprofile(None)
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    handler = assembly.assemble(registry)
    handler.load(".")
    headers = [("Content-Type", "application/json")]
    message = mms_bytes.predict(
        mms_bytes.request("id", headers, [("body", "application/json", b"[[1, 2]]")])
    )
    for _ in range(2):  # the first request looks things up
        entered.clear()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(message)
            before = sys.getprofile()
            sys.setprofile(enter)
            try:
                requests = Connection(0, 0, ours).receive(1 << 20)
                assert isinstance(requests, list)
                run_without_loop(handler.answer(requests))
            finally:
                sys.setprofile(before)
    files = list(dict.fromkeys(entered))
    documented = [code(row[0])[0] for row in rows(DESIGN, "One request")]
    assert files == documented
    assert len(files) <= 8
