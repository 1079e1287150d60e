"""`check` of a Dockerfile: what docker refuses of an instruction, and what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD

from sagemaker_inference._cli._checks import target
from sagemaker_inference._cli._checks.dockerfiles import Problem, read
from sagemaker_inference._cli._checks.image import image_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BARE = "FROM python:3.12-slim\n"
LIST = 'Write a list of strings, as in ["a", "b"].'
BLANK = "Write NAME=value, without a space before the =."
NAME = "Begin it with a letter, and go on with letters, digits, - _ or ."
PORT = "Write, e.g.: EXPOSE 8080 9000/udp"
COMMENT = "A comment is a line of its own: write it above the instruction."
CLOSE = "Close it, or write \\ before what begins it."
QUOTE = "Close the quote, or write \\ before it."
ABOVE = "Copy from a stage that is above."
SHELL = 'Write, e.g.: SHELL ["/bin/bash", "-c"]'
LINK = "Write one of: --link, --link=false."
LATER = "images that begin from this one cannot be built: "


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[Problem]]:
    def run(text: str) -> list[Problem]:
        path = tmp_path / "Dockerfile"
        path.write_text(text)
        return list(image_of(path).problems)

    return run


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ("RUN --foo true", "RUN has no flag --foo", "Leave it out."),
        ("RUN --mont=type=cache x", "RUN has no flag --mont", "Write --mount."),
        ("COPY --new=x a b", "COPY has no flag --new", "Leave it out."),
        ("COPY --chwon=a b c", "COPY has no flag --chwon", "Write --chown."),
        ("ADD --from=a b c", "ADD has no flag --from", "Leave it out."),
        ("CMD --model x", "CMD has no flag --model", 'Write the exec form: CMD ["--model"]'),
        ("ENTRYPOINT --a", "ENTRYPOINT has no flag --a", 'Write the exec form: ENTRYPOINT ["--a"]'),
        ("EXPOSE --tcp 80", "EXPOSE has no flag --tcp", "Leave it out."),
        ("COPY --chown a b", "the flag --chown has no value",
         "Write --chown=VALUE, without a space."),
        ("COPY --link=1 a b", "the flag --link cannot be '1'", LINK),
        ("COPY --link= a b", "the flag --link cannot be ''", LINK),
        ("COPY --link --link a b", "the flag --link comes twice", "Leave one of them out."),
        ("COPY a", "COPY a has no destination", "Write: COPY SOURCE DESTINATION"),
        ('ADD ["a"]', 'ADD ["a"] has no destination', "Write: ADD SOURCE DESTINATION"),
        ("COPY []", "COPY [] has no destination", "Write: COPY SOURCE DESTINATION"),
        ("COPY a <<E\nE", "the destination of COPY is a heredoc", "Write: COPY <<E DESTINATION"),
        ('COPY "a b" /c', "\" is missing in '\"a'", CLOSE),
        ('COPY ["it\'s", "/c"]', "' is missing in \"it's\"", QUOTE),
        ("COPY --from=$A b c", "docker does not expand '$A' in --from",
         "Write above: FROM $A AS NAME, and here --from=NAME."),
        ("COPY <<E /a\n${A[@]}\nE",
         "docker expands its heredoc: docker does not know the ${...} in '${A[@]}'",
         "Write <<'E', which is not expanded."),
        ('ENTRYPOINT ["a", 1]', "'[\"a\", 1]' is a list with more than strings", LIST),
        ("RUN [[]]", "'[[]]' is a list with more than strings", LIST),
        ("HEALTHCHECK CMD [1]", "'[1]' is a list with more than strings", LIST),
        ("SHELL /bin/bash -c", "SHELL is not in the exec form", SHELL),
        ("SHELL []", "SHELL is not in the exec form", SHELL),
        ("ARG =1", "'=1' has no name, in '=1'", BLANK),
        ("ENV A=1 =2", "'=2' has no name, in 'A=1 =2'", BLANK),
        ("LABEL =2", "'=2' has no name, in '=2'", BLANK),
        ("FROM a AS 1", "'1' cannot be the name of a stage", NAME),
        ("FROM a AS b/c", "'b/c' cannot be the name of a stage", NAME),
        ("EXPOSE abc", "'abc' is not a port", PORT),
        ("EXPOSE 8080 # it", "'#' is not a port", COMMENT),
        ("EXPOSE 8080,8081", "'8080,8081' is not a port", PORT),
        ('EXPOSE ["80"]', "'[80]' is not a port", PORT),
        ("EXPOSE 65536", "'65536' is not a port", PORT),
        ("EXPOSE 9-8", "'9-8' is not a port", PORT),
        ("EXPOSE 80/http", "'80/http' is not a port", PORT),
        ("EXPOSE a:80", "'a:80' is not a port", PORT),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments", "Leave them out."),
        ("HEALTHCHECK curl a", "HEALTHCHECK curl is not known",
         "Write HEALTHCHECK CMD, and the command."),
        ("HEALTHCHECK CMD", "HEALTHCHECK CMD has no command", "Write one, or HEALTHCHECK NONE."),
        ("HEALTHCHECK CMD []", "HEALTHCHECK CMD has no command", "Write one, or HEALTHCHECK NONE."),
        ("HEALTHCHECK --interval=30 CMD a", "--interval cannot be '30'", "Write, e.g., 30s."),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be '-1'", "Write a number."),
        ("STOPSIGNAL SIGTREM", "'SIGTREM' is not a signal", "Write, e.g.: STOPSIGNAL SIGTERM"),
        ("STOPSIGNAL 0", "'0' is not a signal", "Write, e.g.: STOPSIGNAL SIGTERM"),
        ('VOLUME [""]', "a VOLUME has no name", "Write, e.g.: VOLUME /data"),
        ("VOLUME []", "a VOLUME has no name", "Write, e.g.: VOLUME /data"),
        ("RUN --network=no a", "--network cannot be 'no'", "Write one of: default, none, host."),
        ("RUN --security=no a", "--security cannot be 'no'", "Write one of: insecure, sandbox."),
        ("RUN --mount=type=volume a", "there is no mount of the type 'volume'",
         "Write one of: bind, cache, tmpfs, secret, ssh."),
        ("RUN --mount=type=cache,targt=/a a", "--mount cannot have 'targt=/a'", "Write target."),
        ("RUN --mount=/a a", "--mount cannot have '/a'", "Write, e.g., type=cache,target=/a"),
        ("RUN --mount=target a", "--mount cannot have 'target'", "Write target."),
        ("RUN --mount=from=$A,target=/a a", "docker does not expand '$A' in --mount",
         "Write above: FROM $A AS NAME, and here from=NAME."),
        ("ENV A=${B/c}", "/ is missing in '${B/c}'", CLOSE),
        ("ONBUILD ONBUILD RUN a", "ONBUILD cannot have ONBUILD",
         "Write another instruction behind ONBUILD."),
        ("ONBUILD from a", "ONBUILD cannot have FROM", "Write another instruction behind ONBUILD."),
        ("ONBUILD MAINTAINER a", "ONBUILD cannot have MAINTAINER",
         "Write another instruction behind ONBUILD."),
        ("COPY --from=later a b\nFROM a AS Later", "there is no stage later above this one", ABOVE),
        ("COPY --from=0 a b", "there is no stage 0 above this one", ABOVE),
        ("FROM $B", "$B is not set", "Write an ARG of this name above the first FROM."),
    ],
)  # fmt: skip
def test_what_docker_refuses_is_an_error(
    problems: Callable[[str], list[Problem]], line: str, what: str, fix: str
) -> None:
    (problem,) = problems(f"{BARE}{line}\n")
    assert (problem.line, problem.what, problem.fix) == (2, what, fix)
    assert problem.is_certain


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("ONBUILD RUNN a", f"{LATER}'RUNN' is not an instruction"),
        ("ONBUILD COPY a", f"{LATER}COPY a has no destination"),
        ("ONBUILD RUN --foo a", f"{LATER}RUN has no flag --foo"),
    ],
)
def test_what_docker_refuses_only_later_is_a_warning(
    check: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    what: str,
) -> None:
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    (finding,) = check({**GOOD, "Dockerfile": f"{DOCKERFILE}{line}\n"})["findings"]
    assert (finding["rule"], finding["level"]) == ("docker-readable", "warning")
    assert finding["what"] == what


@pytest.mark.parametrize(
    "line",
    [
        "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,source=a,target=a,ro a",
        "RUN --mount=type=secret,id=a,required --network=none --security=insecure a",
        'RUN --mount=type=bind,\\"source=a,b\\" --mount=type=$T,from=a$ a',
        "RUN --device=nvidia.com/gpu=all --device=a nvidia-smi",
        "RUN -- --foo",
        "RUN -c a",
        "RUN",
        'RUN ["a", "--b"] # c',
        "RUN {1}",
        "COPY --from=base --chown=1:1 --chmod=755 --link --exclude=a --exclude=b a b /c/",
        "COPY --parents --link=FALSE a /b",
        "COPY -- --a /b",
        'COPY --chown=1 ["a b", "/c"]',
        'COPY --chmod="7$A" a\\ b /c',
        "COPY <<a <<b /c/\na\nb",
        "COPY <<-'E' /a\n\t${A[@]} it's\n\tE",
        "COPY <<E /a\nit's \"$A\nE",
        "COPY --from=other/image:1 a b",
        "ADD --checksum=sha256:0 --keep-git-dir=true --unpack=false https://a/b /c",
        'ENTRYPOINT ["a", "--b"]',
        "CMD",
        "ARG A B=1 C='x y'",
        "ARG --a B",
        "STOPSIGNAL --a 9",
        "STOPSIGNAL sigterm",
        "STOPSIGNAL RTMIN+3",
        "STOPSIGNAL 15",
        "STOPSIGNAL ${S}",
        'STOPSIGNAL "QUIT"',
        "EXPOSE 8080",
        'EXPOSE 80 8000-8010 53/udp 5/SCTP 80:8080 127.0.0.1:80:90/tcp :80 "81"',
        "EXPOSE $PORT ${A:-80}/tcp",
        "HEALTHCHECK NONE",
        "HEALTHCHECK --x none",
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 CMD curl a || exit 1",
        "HEALTHCHECK --start-interval=5s --retries=3 CMD curl a",
        'HEALTHCHECK CMD ["curl", "a"]',
        'SHELL ["/bin/bash", "-o", "pipefail", "-c"]',
        "VOLUME /a /b",
        'VOLUME ["/a"]',
        "MAINTAINER it's me",
        "WORKDIR /a b",
        "USER 1000:1000",
        "FROM --platform=$BUILDPLATFORM a AS Base-1.2_x",
        "FROM $TARGETARCH",
        "FROM ${B:-a}",
        "ONBUILD COPY --chown=1 a b",
        "ONBUILD RUN <<E\na\nE",
        "ENV A=${B/c/d} C=${B//c/d} D=${B##*/} E=${B%%.*} F=${B:+x}",
        "ENV A B=C",
        "LABEL a=1 \"b c\"='d' e=",
    ],
)  # fmt: skip
def test_what_docker_takes_is_no_problem(
    problems: Callable[[str], list[Problem]], line: str
) -> None:
    assert problems(f"FROM a AS base\nFROM a\n{line}\n") == []


@pytest.mark.parametrize("value", ["$A", "${A:-}", "$A$B"])
def test_an_image_may_be_named_when_it_is_built(
    problems: Callable[[str], list[Problem]], value: str
) -> None:
    assert problems(f"ARG A\nFROM {value}\n") == []
    (problem,) = problems(f"FROM a\nARG A\nFROM {value}\n")
    assert (problem.line, problem.what) == (3, f"{value} is not set")


def test_stages_may_have_one_name(problems: Callable[[str], list[Problem]]) -> None:
    assert problems("FROM a AS b\nFROM a AS B\nCOPY --from=b c d\nCOPY --from=0 c d\n") == []


@pytest.mark.parametrize(
    ("syntax", "is_certain"),
    [
        ("docker/dockerfile:1", True),
        ("docker.io/docker/dockerfile:1.7@sha256:00", True),
        ("docker/dockerfile:experimental", True),
        ("docker/dockerfile:1-labs", False),
        ("docker/dockerfile-upstream:master", False),
        ("example.com/mine", False),
    ],
)
def test_another_front_end_may_take_what_docker_refuses(
    problems: Callable[[str], list[Problem]], *, syntax: str, is_certain: bool
) -> None:
    (problem,) = problems(f"# syntax={syntax}\n{BARE}RUN --new a\n")
    assert problem.is_certain == is_certain


@pytest.mark.parametrize(
    ("first", "line", "what"),
    [
        ("# escape=`\n# syntax=a\n# ESCAPE=`", 3, "the directive escape comes twice"),
        ("# escape=^", 1, "the directive escape cannot be '^'"),
    ],
)
def test_directives_that_docker_refuses_leave_nothing_to_check(
    problems: Callable[[str], list[Problem]], first: str, line: int, what: str
) -> None:
    (problem,) = problems(f"{first}\n{BARE}")
    assert (problem.line, problem.what, problem.is_fatal) == (line, what, True)


def test_lines_have_a_limit(problems: Callable[[str], list[Problem]]) -> None:
    assert problems(f"{BARE}RUN {'a' * 65_531}\n") == []
    (problem,) = problems(f"{BARE}RUN {'a' * 65_532}\n")
    assert (problem.line, problem.what) == (
        2,
        "it has 65536 bytes, and docker reads lines of up to 65535",
    )


@pytest.mark.parametrize("value", ["[" * 60_000, "[" * 60_000 + "]" * 5000, "{" * 60_000])
def test_brackets_may_be_nested_deep(problems: Callable[[str], list[Problem]], value: str) -> None:
    assert problems(f"{BARE}ENTRYPOINT {value}\nRUN {value}\nVOLUME {value}\n") == []


def test_what_docker_refuses_is_not_called_missing(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    lines = "LABEL a=1 b\nENTRYPOINT [1]\nRUN --prepare a\n"
    findings = check({**GOOD, "Dockerfile": f"{BARE}{lines}"})["findings"]
    assert {one["rule"] for one in findings} == {"docker-readable"}
    assert [one["where"].partition(", ")[2] for one in findings] == ["line 2", "line 3", "line 4"]


ESCAPES = """# escape=`
FROM a
ENV A=it`'s B="`"x`"" C=c:\\dir\\ D=`$A E=a` b
LABEL "a`"b"=1 c=${A:-`}x}
ARG F=it`'s
USER `$A
COPY --chown=a`b a [`$A]
RUN --mount=type=cache,target=/a`b c
"""


def test_words_and_quotes_follow_the_escape_that_a_file_names(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(ESCAPES)
    image = image_of(path)
    assert image.problems == []
    assert dict(image.variables) == {
        "A": "it's", "B": '"x"', "C": "c:\\dir\\", "D": "$A", "E": "a b",
    }  # fmt: skip
    assert dict(image.labels) == {'a"b': "1", "c": "it's"}
    assert dict(image.arguments) == {"F": "it's"}
    (user,) = image.find("USER")
    assert user.value == "$A"


def test_heredocs_are_those_of_a_shell_whatever_the_escape(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("# escape=`\nFROM a\nRUN cat \\' << E\\F\nRUNN\nEF\nRUN cat `' <<E\n")
    instructions, problems = read(path)
    assert problems == []
    assert [one.name for one in instructions] == ["FROM", "RUN", "RUN"]
    assert [one.text for one in instructions[1].heredocs] == ["RUNN"]
