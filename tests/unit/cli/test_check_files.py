"""`check`: how requirements.txt and Dockerfile are read, as pip and docker read them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM, found

from sagemaker_inference._cli._checks import target
from sagemaker_inference._cli._checks.image import image_of

if TYPE_CHECKING:
    from collections.abc import Callable

BARE = "FROM python:3.12-slim\n"
REST = DOCKERFILE.partition(BARE)[2]


@pytest.fixture(autouse=True)
def inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is not imported."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))


# --- requirements.txt ---


@pytest.mark.parametrize(
    "data",
    [
        "scipy\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "scipy\n".encode("utf-16-be"),
        "scipy\n".encode("utf-32"),
        codecs.BOM_UTF8 + b"scipy\n",
        "# -*- coding: latin-1 -*- ä\nscipy\n".encode("latin-1"),
        "#\n# ä, coding=latin-1\nscipy\n".encode("latin-1"),
    ],
)
def test_requirements_are_decoded_as_by_pip(
    check: Callable[..., dict[str, Any]], tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "requirements.txt").write_bytes(data)
    files = {name: text for name, text in GOOD.items() if name != "requirements.txt"}
    (finding,) = check(files)["findings"]
    assert finding["rule"] == "requirements-pins"
    assert "'scipy' has no version" in finding["what"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xe4\n", "it cannot be decoded: 'utf-8' codec can't decode byte 0xe4"),
        ("scipy\n".encode("utf-16")[:-1], "it cannot be decoded: 'utf-16-le' codec can't decode"),
        (b"# coding: no-such-coding\nscipy\n", "it cannot be decoded: unknown encoding: no-such"),
    ],
)
@pytest.mark.parametrize("name", ["requirements.txt", "more.txt"])
def test_what_cannot_be_decoded_is_one_error(
    check: Callable[..., dict[str, Any]], tmp_path: Path, name: str, data: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(data)
    document = check({one: text for one, text in GOOD.items() if one != name})
    (finding,) = document["findings"]
    assert (finding["rule"], finding["level"]) == ("requirements-lines", "error")
    assert finding["where"] == name
    assert finding["what"].startswith(problem)


MISSING = ("requirements-lines", "there is no file missing.txt")
LIMITED = {"requirements.txt": "scipy\n-r a.txt\n-c c.txt", "a.txt": "", "c.txt": "scipy<2"}


@pytest.mark.parametrize(
    ("files", "findings"),
    [
        ({"requirements.txt": "-r a.txt\n-r missing.txt", "a.txt": ""}, [(2, *MISSING)]),
        ({"requirements.txt": "-r missing.txt\n--extra-index-url https://a\n-i https://b\n--pre"},
         [(1, *MISSING)]),
        ({"requirements.txt": "-r .", "a.txt": ""}, [(1, "requirements-lines", ". is a folder")]),
        (LIMITED, []),
    ],
)  # fmt: skip
def test_the_options_of_a_line_are_its_own(
    check: Callable[..., dict[str, Any]],
    files: dict[str, str],
    findings: list[tuple[int, str, str]],
) -> None:
    document = check({**GOOD, **files})
    assert [(one["where"], one["rule"], one["what"]) for one in document["findings"]] == [
        (f"requirements.txt, line {line}", rule, what) for line, rule, what in findings
    ]


ARCHIVES = {
    "wheels/h11-0.14-py3-none-any.whl": "",
    "h11-0.14-py3-none-any.whl": "",
    "h11-0.14.tar.gz": "",
    "code/h11/pyproject.toml": "",
}


@pytest.mark.parametrize(
    "line",
    [
        *("wheels/h11-0.14-py3-none-any.whl", "h11-0.14.tar.gz[more]", "./code/h11", "/opt/h11"),
        *("h11-0.14-py3-none-any.whl[a, b]; python_version > '3'", "h11@file:h11.zip"),
        *("${NAME}==1", "h11==${H11_VERSION}", "${INDEX}/h11.whl", "git+https://a/b@v1#egg=h11"),
    ],
)
def test_files_and_variables_have_no_version_to_look_at(
    check: Callable[..., dict[str, Any]], line: str
) -> None:
    assert check({**GOOD, **ARCHIVES, "requirements.txt": line})["findings"] == []


@pytest.mark.parametrize(
    "line",
    [
        *("wheels/h11-0.14-py3-none-any.whl", "h11-0.14-py3-none-any.whl", "h11==${H11_VERSION}"),
        *("h11 @ https://example.com/h11.zip", "h11@https://example.com/h11.zip"),
    ],
)
def test_what_a_file_or_an_address_installs_is_known_by_its_name(
    check: Callable[..., dict[str, Any]], line: str
) -> None:
    files = {**GOOD, "inference.py": f"import h11\n{PROGRAM}"}
    assert check({**files, **ARCHIVES, "requirements.txt": line})["findings"] == []
    assert found(check(files)) == {"requirements-imports"}


@pytest.mark.parametrize("line", ["${name}==1", "$NAME==1", "h11 0.14", "a b.c"])
def test_what_pip_does_not_read_is_not_a_requirement(
    check: Callable[..., dict[str, Any]], line: str
) -> None:
    (finding,) = check({**GOOD, "requirements.txt": line})["findings"]
    assert finding["what"] == f"{line!r} is not a requirement"


@pytest.mark.parametrize(
    ("name", "rule"),
    [("requirements.txt", "requirements-lines"), ("Dockerfile", "docker-readable")],
)
def test_a_folder_with_the_name_of_a_file_is_said_to_be_one(
    check: Callable[..., dict[str, Any]], tmp_path: Path, name: str, rule: str
) -> None:
    (tmp_path / name).mkdir()
    document = check({one: text for one, text in GOOD.items() if one != name})
    reasons = {one["rule"]: one["reason"] for one in document["skipped"]}
    assert reasons[rule] == f"{name} is a folder, and not a file"


HASHES = "sha256, sha384, sha512, as in --hash=sha256:0a1b2c..."


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("-r", "-r option requires 1 argument"),
        ("-c", "-c option requires 1 argument"),
        ("--requirement", "--requirement option requires 1 argument"),
        ("--hash", "--hash option requires 1 argument"),
        ("scipy==1.12 --hash=md5:00", f"--hash takes {HASHES}"),
        ("scipy==1.12 --hash=sha256:00 --hash SHA256:00", f"--hash takes {HASHES}"),
        ("--hash=sha256", f"--hash takes {HASHES}"),
        ("--no-such-option", "no such option: --no-such-option"),
        ("-x", "no such option: -x"),
        ("scipy==1.12 --no-such-option", "no such option: --no-such-option"),
        ("--pre=1", "--pre option does not take a value"),
        ("-r 'more.txt", "No closing quotation"),
    ],
)
def test_options_that_pip_refuses_are_errors(
    check: Callable[..., dict[str, Any]], line: str, problem: str
) -> None:
    document = check({**GOOD, "requirements.txt": f"scipy<2\n{line}\n"})
    (finding,) = document["findings"]
    assert (finding["rule"], finding["level"]) == ("requirements-lines", "error")
    assert finding["where"] == "requirements.txt, line 2"
    assert finding["what"] == f"pip refuses {line!r}: {problem}"


def test_options_that_pip_takes_are_none(check: Callable[..., dict[str, Any]]) -> None:
    lines = [
        *("-i https://a/simple", "--index-url=https://a/simple", "--extra-index https://b"),
        *("-f wheels --pre", "--no-binary :all:", "--trusted-host a", "-e ./package"),
        *("-rmore.txt", "--requirem more.txt", "--constraint 'more.txt'", "--prefer-binary"),
        *("scipy==1.12 --hash=sha256:00 \\", "  --hash=sha512:11", "--no-require-hashes"),
        *('tomli==2.0; python_version < "3.11" --config-settings="a=b"', "--use-feature x"),
        *("sci\\", "py==1.12"),
    ]
    files = {"requirements.txt": "\n".join(lines), "package/setup.py": ""}
    assert check({**GOOD, **files})["findings"] == []


# --- Dockerfile ---

HEREDOCS = """\
RUN <<EOF
USER nobody
ENTRYPOINT python inference.py
pip install h11
EOF
COPY <<-"one" <<'two' /etc/
\tENV SAGEMAKER_BIND_TO_PORT=9000
\tone
USER nobody
one
two
ONBUILD RUN cat <<3 && \\
  true
FROM other
3
RUN cat <<< here
RUN ["cat", "<<EOF"]
RUN echo "a <<EOF b" 'it
RUN true 0<<LAST
RUNN no
LAST
LABEL a=1"""


def test_heredocs_are_not_instructions(check: Callable[..., dict[str, Any]]) -> None:
    files = {**GOOD, "inference.py": f"import h11\n{PROGRAM}"}
    assert found(check({**files, "Dockerfile": f"{BARE}{REST}{HEREDOCS}"})) == set()


def test_commands_in_a_heredoc_are_run(check: Callable[..., dict[str, Any]]) -> None:
    more = "RUN <<EOF\npip install -r base.txt\nsagemaker-inference prepare\nEOF\nUSER nobody\n"
    rest = REST.partition("\n")[2]
    files = {**GOOD, "base.txt": "h11>=0.14", "inference.py": f"import h11\n{PROGRAM}"}
    document = check({**files, "Dockerfile": f"{BARE}{more}{rest}"})
    (finding,) = document["findings"]
    # Lines are those of the file.
    assert (finding["rule"], finding["where"]) == ("docker-user", "Dockerfile, line 6")


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("FROM ${B:-ubuntu}", "ubuntu"),
        ("FROM ${B-ubuntu}", "ubuntu"),
        ("ARG B=mine\nFROM ${B:-ubuntu}", "mine"),
        ("ARG B\nFROM ${B:-ubuntu}:${TAG:-24.04} AS one", "ubuntu:24.04"),
        ("ARG B=mine T='1'\nARG FULL=${B}/base:$T\nFROM $FULL", "mine/base:1"),
        ("ARG B=mine\nFROM ${B:+their}/base", "their/base"),
        ("FROM ${B:+their}base", "base"),
        ("ARG C=mine\nFROM ${A:-${B:-$C}}", "mine"),
        ("FROM $B", "$B"),
        ("FROM ${B:-one} AS a\nFROM ${A:-a}", "one"),
        ("LABEL a=1\nFROM one", "one"),
    ],
)
def test_variables_in_from_have_defaults(tmp_path: Path, text: str, base: str) -> None:
    path = tmp_path / "Dockerfile.mine"
    path.write_text(text)
    assert image_of(path).base == base


def test_variables_are_those_of_the_stage(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(
        "ARG A=top B=top C=top\nFROM a\nARG A B=stage\nARG D E=${A}/${B:-x}/${C:-none}\n"
        "ENV F=$E G=${D:-late} H='$A'\nENV I old form\nLABEL ${A}=${F}\nENV A=env\nLABEL b=$A\nENV"
    )
    image = image_of(path)
    assert dict(image.variables) == {
        "F": "top/stage/none", "G": "late", "H": "$A", "I": "old form", "A": "env",
    }  # fmt: skip
    assert dict(image.labels) == {"top": "top/stage/none", "b": "env"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DOCKERFILE.encode("utf-16"), "it is not encoded in UTF-8, and docker reads nothing else"),
        (DOCKERFILE.encode("utf-16-le"), "it is not encoded in UTF-8, and docker reads nothing el"),
        (f"{DOCKERFILE}\nRUN <<-LAST\nENV a b".encode(), "its heredoc has no end: <<-LAST"),
    ],
)
def test_a_dockerfile_that_cannot_be_read_is_one_error(
    check: Callable[..., dict[str, Any]], tmp_path: Path, data: bytes, problem: str
) -> None:
    (tmp_path / "Dockerfile").write_bytes(data)
    document = check({name: text for name, text in GOOD.items() if name != "Dockerfile"})
    (finding,) = document["findings"]
    assert finding["rule"] == "docker-readable"
    assert finding["what"].startswith(problem)
    reasons = {one["rule"]: one["reason"] for one in document["skipped"]}
    assert reasons["docker-entrypoint"] == "the Dockerfile cannot be read"


def test_a_mark_of_utf_8_is_no_text(check: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(f"\ufeff{BARE}{REST}".encode())
    files = {name: text for name, text in GOOD.items() if name != "Dockerfile"}
    assert check(files)["findings"] == []


def test_a_comment_of_a_dockerfile_may_have_another_encoding(
    check: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_bytes(f"# Für alle.\n{BARE}{REST}".encode("latin-1"))
    assert check({one: GOOD[one] for one in GOOD if one != "Dockerfile"})["findings"] == []


def test_a_script_may_have_another_encoding(
    check: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "start.sh").write_bytes("# Für alle.\nexec python inference.py\n".encode("latin-1"))
    assert check({**GOOD, "Dockerfile": f'{BARE}{REST}ENTRYPOINT ["a/start.sh"]'})["findings"] == []


def test_files_that_may_not_be_read_are_findings(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def patch(name: str, read: Callable[..., Any]) -> None:
        def refuse(self: Path, *args: Any, **more: Any) -> Any:
            if self.name in unreadable:
                raise PermissionError(13, "Permission denied")
            return read(self, *args, **more)

        monkeypatch.setattr(Path, name, refuse)

    unreadable = {"more.txt", "start.sh"}
    patch("read_bytes", Path.read_bytes)
    patch("read_text", Path.read_text)
    files = {**GOOD, "start.sh": "", "Dockerfile": f'{BARE}{REST}ENTRYPOINT ["/start.sh"]'}
    lines, form = check(files)["findings"]
    assert (lines["rule"], lines["where"]) == ("requirements-lines", "more.txt")
    assert lines["what"] == "it cannot be read: Permission denied"
    assert (form["rule"], form["where"]) == ("docker-exec-form", ".")
    assert form["what"] == "it cannot be checked: [Errno 13] Permission denied"
    unreadable = {"Dockerfile"}
    (finding,) = check(files)["findings"]
    assert (finding["rule"], finding["where"]) == ("docker-readable", "Dockerfile")
    assert finding["what"] == "it cannot be read: Permission denied"
