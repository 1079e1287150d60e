"""`check` of requirements: files that name others, hostile ones, and what they install."""

from __future__ import annotations

import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM, found

from sagemaker_inference import __version__
from sagemaker_inference._cli._checks import target
from sagemaker_inference._cli._checks.requirement_files import Line, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CIRCLE = "pip refuses files that name each other: {} is read already"


@pytest.fixture(autouse=True)
def inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is not imported."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., list[Line]]:
    """The lines of a file, with others beside it."""

    def run(text: str, **more: str) -> list[Line]:
        for name, one in {"requirements": text, **more}.items():
            (tmp_path / f"{name}.txt").write_text(one)
        (tmp_path / "folder").mkdir(exist_ok=True)
        return list(lines_of(target.Target(tmp_path), tmp_path / "requirements.txt"))

    return run


@pytest.mark.parametrize(
    ("files", "where", "name"),
    [
        ({"requirements": "-r requirements.txt"}, "requirements.txt, line 1", "requirements.txt"),
        ({"requirements": "-r a.txt", "a": "x\n-r b.txt", "b": "-r a.txt"},
         "b.txt, line 1", "a.txt"),
        ({"requirements": "-r a.txt", "a": "-c requirements.txt"},
         "a.txt, line 1", "requirements.txt"),
        ({"requirements": "-c a.txt", "a": "-r a.txt"}, "a.txt, line 1", "a.txt"),
    ],
)  # fmt: skip
def test_files_that_name_each_other_are_an_error(
    lines: Callable[..., list[Line]], files: dict[str, str], where: str, name: str
) -> None:
    (line,) = [one for one in lines(files.pop("requirements"), **files) if one.problem]
    assert line.where.endswith(where)
    assert line.problem == CIRCLE.format(name)


def test_a_file_may_be_named_more_than_once(lines: Callable[..., list[Line]]) -> None:
    found = lines("-r a.txt\n-r b.txt\n-c a.txt", a="x==1", b="-r a.txt")
    assert [(one.text, one.is_constraint, one.problem) for one in found] == [
        ("x==1", False, ""),
        ("x==1", True, ""),
    ]


def test_a_folder_in_a_circle_of_links_ends(
    lines: Callable[..., list[Line]], tmp_path: Path
) -> None:
    (tmp_path / "more").symlink_to(tmp_path)
    (line,) = lines("-r more/requirements.txt")
    assert line.problem == CIRCLE.format("more/requirements.txt")


def test_a_link_to_itself_is_no_file(
    check: Callable[..., dict[str, Any]], tmp_path: Path, lines: Callable[..., list[Line]]
) -> None:
    for name in ("requirements.txt", "Dockerfile", "a.txt"):
        (tmp_path / name).symlink_to(name)
    reasons = {one["reason"] for one in check({"inference.py": PROGRAM})["skipped"]}
    assert {"there is no requirements.txt", "there is no Dockerfile"} <= reasons
    (tmp_path / "requirements.txt").unlink()
    (line,) = lines("-r a.txt")
    assert line.problem == "there is no file a.txt"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("foo==1 -- bar", ["foo==1 -- bar"]),
        ("foo==1 --pre bar>>1", ["foo==1 --pre bar>>1"]),
        ("-- bar", []),
        ("-e . -r missing.txt", ["."]),
        ("-c missing.txt -e ./folder -e ./b", ["./folder"]),
        ("a \\\n# b \\\nc==1", ["a", "c==1"]),
        ("a==\\\n1", ["a==1"]),
        ("a \\\n  # b", ["a"]),
        ("a \\", ["a"]),
        ("a#b", []),
        ("a ;", ["a ;"]),
    ],
)
def test_lines_are_read_as_by_pip(
    lines: Callable[..., list[Line]], text: str, asked: list[str]
) -> None:
    assert [one.text for one in lines(text) if not one.problem] == asked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a[b]==1", "pip takes no extras in a constraint: 'a[b]==1'"),
        ("-e .", "pip takes no -e as a constraint"),
    ],
)
def test_constraints_are_names_and_versions(
    lines: Callable[..., list[Line]], text: str, problem: str
) -> None:
    (line,) = lines("-c a.txt", a=text)
    assert line.problem == problem
    assert not any(one.problem for one in lines(text))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a" + "[" * 100_000,
        "a; " + "(" * 100_000,
        "./a" + "[" * 100_000,
        " " * 500_000 + "x" + " " * 500_000 + "x",
        "a #" + "#" * 1_000_000,
        "-r " + "a" * 1_000_000,
        "--" + "a" * 1_000_000,
        "a\\\n" * 100_000,
        "\0" * 1000,
        "git+https://" + "a/" * 100_000 + "#" + "&" * 100_000,
    ],
)
def test_long_lines_are_read_soon_and_shown_in_part(
    lines: Callable[..., list[Line]], text: str
) -> None:
    began = time.monotonic()
    found = lines(text)
    assert all(one.name or not one.name for one in found)
    assert time.monotonic() - began < 20
    assert all(len(one.problem) < 1000 for one in found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("H_1.1", "h-1-1"),
        ("h11==${VERSION}", "h11"),
        ("${NAME}==1", ""),
        ("git+https://github.com/a/h11", "h11"),
        ("git+https://github.com/a/h11.git@feature/b", "h11"),
        ("git+ssh://git@github.com/a/h11.git", "h11"),
        ("git+https://a/b.git#egg=h11&subdirectory=c", "h11"),
        ("git+https://a/b.git#subdirectory=c&egg=h11", "h11"),
        ("git+https://a/b.git#subdirectory=c", ""),
        ("-e git+https://github.com/a/h11.git@v1", "h11"),
        ("-e .", ""),
        ("./folder", ""),
        ("h11[a] @ git+https://a/b", "h11"),
        ("https://a/h11-0.14.tar.gz", "h11"),
        ("https://user@a/h11-0.14-py3-none-any.whl#sha256=0", "h11"),
        ("https://a/main.zip", ""),
        ("wheels/h11.whl[b]", "h11"),
        ("-r https://a/h11.txt", ""),
    ],
)
def test_packages_are_known_by_name(lines: Callable[..., list[Line]], text: str, name: str) -> None:
    assert [one.name for one in lines(text)] == [name]


H11 = {"inference.py": f"import h11\n{PROGRAM}"}
REST = DOCKERFILE.partition("LABEL")[2]


@pytest.mark.parametrize(
    ("requirements", "run", "is_missing"),
    [
        ("httpcore==1.0", "", False),  # which needs it
        ("", "RUN pip install httpcore", False),
        ("-e .", "", False),
        ("-r https://example.com/requirements.txt", "", False),
        ("-c https://example.com/constraints.txt", "", True),
        ("h11>>1", "", False),  # which is an error of its own
        ("", "RUN pip install --no-cache-dir --root-user-action=ignore \\\n  -e .", False),
        ("", "RUN pip install -r /opt/requirements.txt", True),
        ("", "RUN pip install --target /opt a", True),
        ("", "RUN uv sync --frozen", False),
        ("", "RUN conda env create -f environment.yml", False),
        ("", "RUN conda install numpy", True),
        ("", "RUN <<E", False),  # what it installs is not known
    ],
)
def test_what_others_install_is_not_missing(
    check: Callable[..., dict[str, Any]], *, requirements: str, run: str, is_missing: bool
) -> None:
    docker = f"FROM python:3.12-slim\n{run}\nLABEL{REST}"
    files = {**GOOD, **H11, "requirements.txt": requirements, "Dockerfile": docker}
    assert ("requirements-imports" in found(check(files))) == is_missing


def test_broken_installations_have_no_name(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"h11": [None, "h11"]})
    document = check({**GOOD, **H11})
    assert [one["what"] for one in document["findings"]] == [
        "it imports h11, and nothing installs h11"
    ]


def test_files_that_cannot_be_read_import_nothing(check: Callable[..., dict[str, Any]]) -> None:
    files = {"inference.py": f"import helper\n{PROGRAM}", "helper.py": "print 'a'\n"}
    assert "requirements-imports" not in found(check({**GOOD, **files}))


def test_constraints_that_are_elsewhere_may_have_all_versions(
    check: Callable[..., dict[str, Any]],
) -> None:
    text = "scipy\n-c https://example.com/constraints.txt\n"
    assert found(check({**GOOD, "requirements.txt": text})) == set()


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("sagemaker-inference==1.10.1", True),
        ("SageMaker_Inference[java] < 2", True),
        ("-c more.txt", True),
        (f"sagemaker-inference=={__version__}", False),
        ("sagemaker-inference[java]>=2,<3", False),
        ("sagemaker-inference==1.10.1; python_version < '3'", False),
        ("sagemaker-inference @ https://example.com/a.zip", False),
        ("sagemaker>=2,<3", False),
    ],
)
def test_another_release_of_the_server_is_an_error(
    check: Callable[..., dict[str, Any]], *, line: str, is_found: bool
) -> None:
    files = {**GOOD, "requirements.txt": line, "more.txt": "sagemaker-inference==1.10.1"}
    findings = [(one["rule"], one["what"]) for one in check(files)["findings"]]
    text = files["more.txt"] if line.startswith("-c") else line
    what = f"{text!r} is not release {__version__}, which serves"
    assert findings == ([("requirements-server", what)] if is_found else [])


def test_many_files_may_name_one_another(lines: Callable[..., list[Line]]) -> None:
    files = {f"a{number}": f"p{number}==1\n-r a{number + 1}.txt\nq==1" for number in range(500)}
    found = lines("-r a0.txt", **files, a500="last")
    assert found[0].text == "p0==1"
    assert [one.text for one in found[499:502]] == ["p499==1", "last", "q==1"]
    assert len(found) == 1001
    assert found[-1].where.endswith("a0.txt, line 3")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("scipy==1.12\nSciPy==1.13", "'SciPy==1.13' does not go with 'scipy==1.12'"),
        ("scipy>=2\nscipy==1.12", "'scipy>=2' does not go with 'scipy==1.12'"),
        ("scipy==1.12\n-c more.txt", "'scipy==1.13' does not go with 'scipy==1.12'"),
        ("scipy==1.12\nscipy==1.12.0\nscipy<2,>=1\nscipy!=1.11", ""),
        ("torch==2.6.0\ntorch==2.6.0+cpu", ""),
        ("scipy==1.12; python_version<'3'\nscipy==1.13", ""),
        ("scipy==1.*\nscipy==1.13", ""),
        ("pandas==2\n-c more.txt\n-c other.txt", ""),
        ("scipy>=1\nscipy<0.1", ""),  # only pip finds out
    ],
)
def test_two_versions_of_a_package_are_an_error(
    check: Callable[..., dict[str, Any]], text: str, what: str
) -> None:
    files = {"requirements.txt": text, "more.txt": "scipy==1.13", "other.txt": "scipy==1.14"}
    findings = check({**GOOD, **files})["findings"]
    assert [one["rule"] for one in findings] == ["requirements-lines"] * bool(what)
    assert all(one["what"].startswith(what) for one in findings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("wheels/a-1-py3-none-any.whl", "there is no file wheels/a-1-py3-none-any.whl"),
        ("a-1-py3-none-any.whl[b]", "there is no file a-1-py3-none-any.whl"),
        ("./a.tar.gz", "there is no file ./a.tar.gz"),
        ("./a#sha256=0", "there is no file ./a#sha256=0"),
        ("-e ./a", "there is no file ./a"),
        ("./a.tar.gz; python_version < '3'", ""),
        ("/opt/a-1-py3-none-any.whl", ""),
        ("a @ file:./a-1-py3-none-any.whl", ""),
        ("https://example.com/a%2D1-py3-none-any.whl?b=c.whl#d", ""),
        ("https://example.com/a?b=c.whl", ""),
        ("${WHEELS}/a.whl", ""),
        ("-e git+https://example.com/a", ""),
        ("folder", ""),
        ("./folder", ""),
        ("a.whl", "a.whl is not the name of a wheel"),
        ("a-1.whl", "a-1.whl is not the name of a wheel"),
        ("/opt/a-x-py3-none-any.whl", "a-x-py3-none-any.whl is not the name of a wheel"),
        ("./a.whl; python_version < '3'", "a.whl is not the name of a wheel"),
        ("a@https://example.com/a.whl", "a.whl is not the name of a wheel"),
        ("https://example.com/a.whl?b#c", "a.whl is not the name of a wheel"),
        ("https://[a/b", "https://[a/b is not an address: Invalid IPv6 URL"),
    ],
)
def test_files_have_to_be_there_and_wheels_to_have_their_names(
    lines: Callable[..., list[Line]], text: str, problem: str
) -> None:
    (line,) = lines(text)
    assert line.problem == problem
    assert bool(line.fix) == bool(problem)


def test_paths_begin_in_the_folder_of_the_first_file(
    lines: Callable[..., list[Line]], tmp_path: Path
) -> None:
    for name in ("a-1-py3-none-any.whl", "folder/b-1-py3-none-any.whl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder" / "more.txt").write_text("./a-1-py3-none-any.whl\n./b-1-py3-none-any.whl")
    assert [line.problem for line in lines("-r folder/more.txt")] == [
        "",
        "there is no file ./b-1-py3-none-any.whl",
    ]
    # Which only limits what others ask for.
    assert [line.problem for line in lines("-c folder/more.txt")] == ["", ""]


A = "a==1 --hash=sha256:00"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (f"{A}\nb==2", ["b==2"]),
        (f"b==2\n{A}\nc @ https://example.com/c.zip", ["b==2", "c @ https://example.com/c.zip"]),
        (f"{A}\n./folder", ["./folder"]),
        (f"{A}\nc @ https://example.com/c.zip#sha256=00", []),
        (f"{A}\nA==1\nb==2; python_version < '3'\n${{C}}==1\nsagemaker-inference", []),
        ("a==1; python_version < '3' --hash=sha256:00\nb==2", ["b==2"]),
        (f"-c c.txt\na==1\nb==2\n{A}", ["b==2"]),
        ("-c c.txt\na==1\nb==2", ["b==2"]),
        ("-r rh.txt\nb==1", ["b==1"]),
        ("-c rh.txt\nb==1", ["b==1"]),
        ("--require-hashes\nb==1", ["b==1"]),
        ("a==1 --require-hashes", []),
        (f"{A}\nb==2\n--no-require-hashes", []),
        (f"{A}\n-r https://example.com/more.txt", []),
        ("a==1\nb==2", []),
    ],
)
def test_where_one_line_has_a_hash_each_needs_one(
    check: Callable[..., dict[str, Any]], text: str, without: list[str]
) -> None:
    files = {"c.txt": A, "rh.txt": "--require-hashes", "folder/setup.py": ""}
    document = check({**GOOD, **files, "requirements.txt": text})
    what = "{!r} has no hash, and pip takes none without where one line has one"
    found = [one for one in document["findings"] if one["rule"] == "requirements-lines"]
    assert [one["what"] for one in found] == [what.format(line) for line in without]
    assert {one["level"] for one in found} <= {"error"}


def test_what_the_image_may_have_needs_no_hash(check: Callable[..., dict[str, Any]]) -> None:
    docker = DOCKERFILE.replace("LABEL", "RUN pip install numpy\nLABEL", 1)
    document = check({**GOOD, "Dockerfile": docker, "requirements.txt": f"{A}\nnumpy==2"})
    (finding,) = document["findings"]
    assert (finding["level"], finding["where"]) == ("warning", "requirements.txt, line 2")
