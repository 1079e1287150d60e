"""`check` of a Dockerfile: what docker refuses, lines that are joined, and variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM

from sagemaker_inference._cli._checks import target
from sagemaker_inference._cli._checks.dockerfiles import read
from sagemaker_inference._cli._checks.expansion import RefusedError, expanded, expanded_by_shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BARE = "FROM python:3.12-slim\n"
REST = DOCKERFILE.partition(BARE)[2]
COMMENT = "A comment is a line of its own: write it above the instruction."
FORM = "Write FROM IMAGE, or FROM IMAGE AS NAME."
LOST = "To continue a line, end the one before in \\."
VALUE = "Write 2=value, or quotes around a value with spaces."
CLOSE = "Close it, or write \\ before what begins it."
HIDDEN = "what is copied to /opt/ml/model is hidden by the model"
ARGUMENT = "Write one, or leave the line out."
OTHER = "Write ${NAME}, ${NAME:-default} or ${NAME:+text}."


@pytest.fixture
def findings(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[tuple[str, str, str]]]:
    """The findings about a Dockerfile: rule, where and what."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))

    def run(text: str, files: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
        document = check({**GOOD, **(files or {}), "Dockerfile": text})
        return [(one["rule"], one["where"], one["what"]) for one in document["findings"]]

    return run


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("", 0, "it has no instructions", "Begin with, e.g.: FROM python:3.12-slim"),
        ("# FROM a\n\n", 0, "it has no instructions", "Begin with, e.g.: FROM python:3.12-slim"),
        ("ARG A\nARG B=1", 0, "there is no FROM", "Begin with, e.g.: FROM python:3.12-slim"),
        (REST, 1, "there is no FROM", "Begin with, e.g.: FROM python:3.12-slim"),
        ("\nFROM\nRUN true", 2, "FROM has no argument", ARGUMENT),
        ("FROM", 1, "FROM has no argument", ARGUMENT),
        ("FROM --platform=a", 1, "FROM has no argument", ARGUMENT),
        ("FROM a b c", 1, "docker does not know what FROM a b c means", FORM),
        ("FROM a # b", 1, "docker does not know what FROM a # b means", COMMENT),
        (f"{BARE}RUN <<A <<B\nA\n", 2, "its heredoc has no end: <<B", "Write a last line: B"),
        (f"{BARE}ADD <<-'A' /a\n A", 2, "its heredoc has no end: <<-'A'", "Write a last line: A"),
        (f"{BARE}ONBUILD RUN <<A", 2, "its heredoc has no end: <<A", "Write a last line: A"),
        (f"{BARE}RUN << 'A B'", 2, "its heredoc has no end: << 'A B'", "Write a last line: A B"),
    ],
)
def test_rules_about_an_image_need_one(
    check: Callable[..., dict[str, Any]], text: str, line: int, what: str, fix: str
) -> None:
    document = check({"Dockerfile": text})
    where = f"Dockerfile, line {line}" if line else "Dockerfile"
    (finding,) = [one for one in document["findings"] if one["rule"].startswith("docker-")]
    assert (finding["rule"], finding["level"]) == ("docker-readable", "error")
    assert (finding["where"], finding["what"], finding["fix"]) == (where, what, fix)
    reasons = {one["rule"]: one["reason"] for one in document["skipped"]}
    assert reasons["docker-entrypoint"] == "the Dockerfile cannot be read"


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ("RUNN x", "'RUNN' is not an instruction", "Write RUN."),
        ("&& true", "'&&' is not an instruction", LOST),
        ("run\u00a0x", "'RUN\\xa0X' is not an instruction", "Write RUN."),
        ("ENV A=1 B=2 # no", "'#' has no value, in 'A=1 B=2 # no'", COMMENT),
        ("ENV A=1 2", "'2' has no value, in 'A=1 2'", VALUE),
        ("ENV A", "A has no value", "Write: ENV A=value"),
        ("LABEL A", "A has no value", "Write: LABEL A=value"),
        ("ENV", "ENV has no argument", ARGUMENT),
        ("ENV A=it's", "' is missing in \"it's\"", "Close the quote, or write \\ before it."),
        ('USER "a', "\" is missing in '\"a'", CLOSE),
        ("ENV A=${B", "docker does not know the ${...} in '${B'", OTHER),
        ("ENV A=${}", "docker does not know the ${...} in '${}'", OTHER),
        ("ENV A=${B^^}", "docker does not know the ${...} in '${B^^}'", OTHER),
        ("ENV A=${B:-c", "} is missing in '${B:-c'", CLOSE),
    ],
)  # fmt: skip
def test_lines_that_docker_refuses_leave_the_others_to_be_checked(
    check: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    what: str,
    fix: str,
) -> None:
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    # Also in a stage of which nothing is in the image.
    text = f"FROM a AS build\n{line}\n{BARE}USER nobody\n{REST}"
    one, other = check({**GOOD, "Dockerfile": text})["findings"]
    assert (one["rule"], one["where"]) == ("docker-readable", "Dockerfile, line 2")
    assert (one["what"], one["fix"]) == (what, fix)
    assert other["rule"] == "docker-user"


def test_all_that_docker_refuses_is_found(
    findings: Callable[..., list[tuple[str, str, str]]],
) -> None:
    readable = "docker-readable"
    assert findings(f"LABEL a=1\nENV B=1\n{BARE}ENV A\n{REST}RUNN x") == [
        (readable, "Dockerfile, line 1", "LABEL comes before FROM"),
        (readable, "Dockerfile, line 4", "A has no value"),
        (readable, "Dockerfile, line 10", "'RUNN' is not an instruction"),
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("RUN a \\\n\n  # b\n\t\n  c\nUSER d", [(1, "RUN", "a   c"), (6, "USER", "d")]),
        ("RUN a \\ \t\r\n  b \\", [(1, "RUN", "a   b")]),
        ("# syntax=a\n#Escape = `\nRUN a `\nb \\\nUSER c",
         [(3, "RUN", "a b \\"), (5, "USER", "c")]),
        ("# syntax=a", []),
        ("# a=b\n# escape=`\nRUN a \\\nb", [(3, "RUN", "a b")]),
        ("RUN a \\\\\nUSER b", [(1, "RUN", "a \\\\"), (2, "USER", "b")]),
        ("\\\nuser \t a", [(1, "USER", "a")]),
        ("CMD\nUSER a\nRUN", [(1, "CMD", ""), (2, "USER", "a"), (3, "RUN", "")]),
        ("RUN cat <<A 'it\nUSER a", [(1, "RUN", "cat <<A 'it"), (2, "USER", "a")]),
        ("RUN cat <<A ${B^}\nUSER a", [(1, "RUN", "cat <<A ${B^}"), (2, "USER", "a")]),
        ("RUN cat <<A\\ b <<''\nUSER a\nA b", [(1, "RUN", "cat <<A\\ b <<''\nUSER a")]),
        ("RUN cat it\\'s <<A\nUSER a\nA", [(1, "RUN", "cat it\\'s <<A\nUSER a")]),
    ],
)  # fmt: skip
def test_lines_are_joined_as_by_docker(
    tmp_path: Path, text: str, values: list[tuple[int, str, str]]
) -> None:
    path = tmp_path / "Dockerfile"
    path.write_bytes(text.encode())
    instructions, problems = read(path)
    assert [(one.line, one.name, one.script) for one in instructions] == values
    assert problems == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A${A}$B", "11"),
        ("${A:-2}${B:-2}${E:-2}${A-3}${B-3}${E-3}", "12213"),
        ("${A:+2}${B:+2}${E:+2}${A+3}${B+3}${E+3}", "233"),
        ("${A:?2}${B?no}", "1"),
        ("${A#1}${A%x}${A/1/2}", "111"),
        ("${B:-${B:-$A}}", "1"),
        ("${B:-'$A' \"$A\" }", "$A 1 "),
        ("\\$A '$A' \"\\$A \\a\" \\'", "$A $A $A \\a '"),
        ('"it\'s"', "it's"),
        ("$ $/ $1x", "$ $/ x"),
        ("\\", ""),
        # What is in a value is not expanded again.
        ("${L}", "${X:-y}"),
        ("${L:-1}", "${X:-y}"),
        ("${B:-$L}", "${X:-y}"),
        ("$O}X:-y}", "${}X:-y}"),
    ],
)
def test_variables_are_expanded_once(text: str, value: str) -> None:
    variables = {"A": "1", "E": "", "L": "${X:-y}", "O": "${"}
    assert expanded(text, variables) == value


def test_values_that_look_like_variables_end(
    findings: Callable[..., list[tuple[str, str, str]]],
) -> None:
    lines = "ENV A='${'\nENV B=\"${A}X:-y}\"\nENV X=$B\nENV Z=${X:-1}\n"
    assert findings(f"{BARE}{lines}{REST}") == []


def test_variables_may_not_be_nested_without_end() -> None:
    text = "${A:-" * 100_000
    with pytest.raises(RefusedError, match="nested too deep"):
        expanded(text, {})
    assert expanded_by_shell(text, {}) == text


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("USER ${U:-root}", []),
        ("ARG U=root\nUSER $U:${G:-0}", []),
        ('ENV U=0\nUSER "$U"', []),
        ("USER ${U:-nobody}", [("docker-user", 2, "the user is nobody")]),
        ("USER $U", [("docker-user", 2, "the user is $U")]),
        ("COPY a ${D:-/opt/ml/}model", [("docker-model-folder", 2, HIDDEN)]),
        ('ENV D=/opt/ml\nADD ["a", "$D/model"]', [("docker-model-folder", 3, HIDDEN)]),
        ("ENV D=/opt/ml\nADD a $D", []),
    ],
)  # fmt: skip
def test_rules_read_what_docker_sets(
    findings: Callable[..., list[tuple[str, str, str]]],
    lines: str,
    found: list[tuple[str, int, str]],
) -> None:
    assert findings(f"{BARE}{lines}\n{REST}") == [
        (rule, f"Dockerfile, line {line}", what) for rule, line, what in found
    ]


def test_commands_have_the_variables_of_the_image(
    findings: Callable[..., list[tuple[str, str, str]]],
) -> None:
    files = {"inference.py": f"import h11\n{PROGRAM}", "base.txt": "h11>=0.14\n"}
    install = 'ARG FILE=base.txt\nRUN pip install -r "${FOLDER:-.}/$FILE"\n'
    assert findings(f"{BARE}{install}{REST}", files) == []
    files = {"inference.py": PROGRAM.replace("serve(__name__)", "")}
    serve = "ENV PROGRAM=inference.py\nENTRYPOINT exec python $PROGRAM\n"
    assert findings(f"{BARE}{REST}{serve}", files) == [
        (
            "docker-serve",
            "Dockerfile, line 8",
            "it runs inference.py, which does not call serve(__name__)",
        )
    ]


@pytest.mark.parametrize("name", ["ENV", "ARG"])
def test_values_that_grow_have_an_end(
    findings: Callable[..., list[tuple[str, str, str]]], name: str
) -> None:
    grow = f"{name} A=xxxxxxxxxx\n" + f"{name} A=$A$A\n" * 40
    what = "the variables in '$A$A' have more than 131072 characters"
    found = findings(f"{BARE}{grow}{REST}")
    assert {(rule, said) for rule, _, said in found} == {("docker-readable", what)}
    assert found[0][1] == "Dockerfile, line 16"
    if name == "ARG":
        image = "FROM python:$A$A\n"
        found = findings(f"{grow}{image}{REST}")
        assert found[-1][1:] == ("Dockerfile, line 42", what.replace("'", "'python:", 1))
