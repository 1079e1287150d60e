"""`check` of what an image serves, and where it listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM

from sagemaker_inference._cli._checks import target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Found = Callable[..., list[tuple[str, str]]]

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once

HEAD = DOCKERFILE.partition("ENTRYPOINT")[0]
IMAGE = "FROM python:3.12-slim"
RULES = ("docker-serve", "docker-port", "docker-variables")
EXAMPLE = 'Write: ENTRYPOINT ["sagemaker-inference"]'
PATH = "/opt/program/inference.py"


@pytest.fixture
def found(check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Found:
    """The findings about an ENTRYPOINT, and lines before it: where and what."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))

    def run(entrypoint: str, more: str = "", **files: str) -> list[tuple[str, str]]:
        named = {f"{name}.py": text for name, text in files.items()}
        docker = f"{HEAD}{more}\nENTRYPOINT {entrypoint}\n"
        document = check({**GOOD, **named, "Dockerfile": docker})
        findings = [one for one in document["findings"] if one["rule"] in RULES]
        assert all(one["level"] == "error" and one["fix"] for one in findings)
        return [(one["rule"], one["what"]) for one in findings]

    return run


@pytest.mark.parametrize(
    "entrypoint",
    [
        '["sagemaker-inference"]',
        '["sagemaker-inference", "serve"]',
        f'["sagemaker-inference", "serve", "{PATH}", "--workers", "2"]',
        '["sagemaker-inference", "serve", "--port=8080", "--host", "0.0.0.0"]',
        '["python3.12", "-u", "-X", "dev", "-m", "sagemaker_inference", "serve", "inference.py"]',
        '["tini", "--", "dumb-init", "--", "env", "A=1", "sagemaker-inference"]',
        '["sagemaker-inference", "ray", "inference.py"]',
        "exec sagemaker-inference serve",
        "cd /opt/program && exec sagemaker-inference serve inference.py --port 8080",
        'exec sagemaker-inference "$@"',
        "exec sagemaker-inference serve --port $CHOSEN",
        "exec sagemaker-inference serve --port ${9",
        "exec sagemaker-inference serv | tee log",
        '["python", "-m", "mine"]',
        '["python", "-c", "import os; print(\'$HOME\')"]',
        '["python", "-m"]',
        '["python", "-"]',
        '["python"]',
        '["/usr/bin/mine"]',
        '["dumb-init"]',
        "exec -",
        '["sh", "-c", "exec python $PROGRAM"]',
        '["python", "/opt/ml/model/code/serve_it.py"]',
    ],
)
def test_what_serves_or_is_not_known_has_no_findings(found: Found, entrypoint: str) -> None:
    assert found(entrypoint) == []


@pytest.mark.parametrize(
    ("entrypoint", "what"),
    [
        ('["sagemaker-inference", "serv"]',
         "it runs 'sagemaker-inference serv serve': there is no command serv"),
        ('["sagemaker-inference", "dev"]',
         "it runs 'sagemaker-inference dev serve': dev is not what serves in a container"),
        ('["python", "-m", "sagemaker_inference", "invoke"]',
         "it runs 'python -m sagemaker_inference invoke serve': invoke is not what serves in "),
        ('["sagemaker-inference", "--port", "9000"]',
         "it runs 'sagemaker-inference --port 9000 serve': it has no command"),
        ("exec sagemaker-inference", "it runs 'sagemaker-inference': it has no command"),
        ('["sagemaker-inference", "serve", "-h"]',
         "it runs 'sagemaker-inference serve -h serve': it prints its help"),
        ('["sagemaker-inference", "serve", "--speed"]',
         "it runs 'sagemaker-inference serve --speed serve': No such option"),
        ('["sagemaker-inference", "serve", "--docs"]',
         "it runs 'sagemaker-inference serve --docs serve': --docs describes FILE: name it"),
        ('["sagemaker-inference", "serve", "a.py", "b.py"]',
         "it runs 'sagemaker-inference serve a.py b.py serve': Got unexpected extra argument "),
        ('["sagemaker-inference", "serve", "a.py"]', "it runs a.py, which is not in the image"),
        ('["python", "missing.py"]', "it runs missing.py, which is not in the image"),
        ("exec python missing.py", "it runs missing.py, which is not in the image"),
        ('["$APP"]', "the exec form has no shell, which alone would expand '$APP'"),
        ('["python", "${APP}/a.py"]',
         "the exec form has no shell, which alone would expand '${APP}/a.py'"),
        ('[""]', "it names no executable"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_found(found: Found, entrypoint: str, what: str) -> None:
    ((rule, said),) = found(entrypoint)
    assert rule == "docker-serve"
    assert said.startswith(what)


@pytest.mark.parametrize(
    "more",
    [
        "COPY --from=build /a /b",
        "COPY src/*.py /opt/program/",
        "ADD https://example.com/a.tar.gz /opt/",
        "ADD a.tar.gz /opt/",
        "RUN curl -O https://example.com/missing.py",
        "RUN python make.py missing.py",
        "RUN python make.py >> /opt/a.txt",
        "COPY <<missing.py /opt/\nmissing.py",
        "WORKDIR /opt/ml/model/code",
        "COPY a",
    ],
)
def test_a_file_that_may_be_there_is_not_missing(found: Found, more: str) -> None:
    assert found('["python", "missing.py"]', more) == []


def test_versions_of_packages_bring_no_file(found: Found) -> None:
    more = 'RUN pip install "pandas>=2" "scipy >=1.12"'
    what = "it runs missing.py, which is not in the image"
    assert found('["python", "missing.py"]', more) == [("docker-serve", what)]


def test_a_base_image_may_have_the_file(check: Callable[..., dict[str, Any]]) -> None:
    docker = DOCKERFILE.replace(IMAGE, "FROM mine").replace("inference.py", "missing.py")
    document = check({**GOOD, "Dockerfile": docker})
    assert "docker-serve" in document["passed"]


def test_the_program_of_a_variable_has_to_be_there(found: Found) -> None:
    set_ = "ENV SAGEMAKER_PROGRAM=other.py"
    said = [("docker-serve", "ENV sets SAGEMAKER_PROGRAM to other.py, which is not there")]
    assert found('["sagemaker-inference"]', set_) == said
    assert found('["sagemaker-inference", "serve"]', set_) == said
    # Where it has no effect.
    assert found(f'["python", "{PATH}"]', set_) == []
    copied = f"{set_}\nCOPY docker /opt/ml/model/code"
    assert found('["sagemaker-inference"]', copied, **{"docker/other": PROGRAM}) == []
    assert found('["sagemaker-inference"]', set_, other=PROGRAM) == []


def test_an_image_without_a_program_serves_any(check: Callable[..., dict[str, Any]]) -> None:
    docker = f'{HEAD}ENV SAGEMAKER_PROGRAM=other.py\nENTRYPOINT ["sagemaker-inference"]\n'
    assert "docker-serve" in check({"Dockerfile": docker})["passed"]
    docker = f'{HEAD}COPY <<a.py /a.py\na.py\nENTRYPOINT ["python", "/a.py"]\n'
    assert "docker-port" in check({"Dockerfile": docker})["passed"]
    docker = f'{HEAD}CMD ["sagemaker-inference", "serve"]\n'
    assert {"docker-serve", "docker-port"} <= {*check({"Dockerfile": docker})["passed"]}


HOST = "127.0.0.1, where SageMaker does not reach it"
LINE = len(PROGRAM.splitlines())


@pytest.mark.parametrize(
    ("entrypoint", "more", "call", "what"),
    [
        ("", "ENV SAGEMAKER_BIND_TO_PORT=9000", "", "ENV sets SAGEMAKER_BIND_TO_PORT to 9000"),
        ("", "ENV SAGEMAKER_BIND_TO_HOST=127.0.0.1", "",
         f"ENV sets SAGEMAKER_BIND_TO_HOST to {HOST}"),
        ("", "ENV SAGEMAKER_BIND_TO_HOST=127.0.0.1", "host='0.0.0.0'",
         f"ENV sets SAGEMAKER_BIND_TO_HOST to {HOST}"),
        ("", "ENV MMS_INFERENCE_ADDRESS=http://0.0.0.0:9000", "",
         "ENV sets MMS_INFERENCE_ADDRESS to 9000"),
        ("", "", "port=9000", "serve() sets port to 9000"),
        ("", "", "host='127.0.0.1'", f"serve() sets host to {HOST}"),
        ('["sagemaker-inference", "serve", "--port", "9000"]', "", "",
         "its option sets --port to 9000"),
        ('["sh", "-c", "exec sagemaker-inference serve --port=$PORT"]', "ENV PORT=9000", "",
         "its option sets --port to 9000"),
        ('["sagemaker-inference", "serve", "inference.py", "--host", "127.0.0.1"]', "", "",
         f"its option sets --host to {HOST}"),
        ('["sagemaker-inference", "serve", "--port", "8080"]', "ENV SAGEMAKER_BIND_TO_PORT=9000",
         "port=9000", ""),
        ("", "ENV SAGEMAKER_BIND_TO_PORT=9000", "port=8080", ""),
        ("", "ENV SAGEMAKER_BIND_TO_HOST=::", "", ""),
        ("", "", "port=PORT, host=HOST", ""),
        ('["/usr/bin/mine"]', "", "port=9000", ""),
    ],
)  # fmt: skip
def test_where_it_listens_is_known_by_what_overrides_the_rest(
    found: Found, entrypoint: str, more: str, call: str, what: str
) -> None:
    program = PROGRAM.replace("(__name__)", f"(__name__, {call})")
    findings = found(entrypoint or f'["python", "{PATH}"]', more, inference=program)
    assert findings == ([("docker-port", what)] if what else [])


def test_the_line_of_a_call_is_named(check: Callable[..., dict[str, Any]]) -> None:
    program = PROGRAM.replace("(__name__)", "(__name__, port=9000)")
    (finding,) = check({**GOOD, "inference.py": program})["findings"]
    assert finding["where"] == f"inference.py, line {LINE}"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS=abc",
         "ENV sets SAGEMAKER_MODEL_SERVER_WORKERS to 'abc', which is not a whole number of "),
        ("SAGEMAKER_METRICS=loud", "ENV sets SAGEMAKER_METRICS to 'loud', which "),
        ("MMS_INFERENCE_ADDRESS=unix:/a",
         "ENV sets MMS_INFERENCE_ADDRESS to 'unix:/a', which is not http://HOST:PORT, which is "),
        ("MMS_KEYSTORE=a", "ENV sets MMS_KEYSTORE, which is not supported: "),
        ("SAGEMAKER_MODEL_SERVER_WORKERS=$UNSET", ""),
        ("SAGEMAKER_MODEL_SERVER_WORKERS=2 MMS_OTHER=a OTHER=b", ""),
    ],
)  # fmt: skip
def test_variables_have_values_that_the_server_can_use(found: Found, line: str, what: str) -> None:
    findings = found(f'["python", "{PATH}"]', f"ENV {line}")
    assert [rule for rule, _ in findings] == ["docker-variables"] * bool(what)
    assert all(said.startswith(what) for _, said in findings)


OURS = 'exec sagemaker-inference "$@"'
END = "it runs missing.py, which is not in the image"
SERVE = "it runs 'serve', which is not in the image"


@pytest.mark.parametrize(
    ("entrypoint", "script", "said"),
    [
        ('["/start.sh"]', OURS, ""),
        ('["/start.sh"]', "set -e\nexec sagemaker-inference $1 # all", ""),
        ('["tini", "--", "bash", "-e", "start.sh", "sagemaker-inference"]', 'exec "$@"', ""),
        ('["/start.sh"]', 'exec "$@"', SERVE),
        ('["/start.sh"]', "exec ${1}", SERVE),
        ('["/start.sh", "python", "missing.py"]', "exec $*", END),
        ('["sh", "start.sh", "missing.py"]', 'exec python \\\n  "$1"', END),
        ('["/start.sh"]', "export A=1\nexec python -u missing.py", END),
        ('["/start.sh"]', "exec > log 2>&1\nexec python missing.py\n\n# The end.", END),
        ('["/start.sh"]', "exec sagemaker-inference", "it runs 'sagemaker-inference': it has"),
        ('["/start.sh"]', "exec sagemaker-inference emulate a.py", "it runs 'sagemaker-inference "),
        ('["/start.sh"]', f"{OURS} --port 9000", "its option sets --port to 9000"),
        # More decides there than the last line.
        ('["/start.sh"]', 'if [ "$1" = serve ]; then\nexec a\nfi\nexec "$@"', ""),
        ('["/start.sh"]', "case $1 in\n  serve) exec sagemaker-inference serve ;;\nesac", ""),
        ('["/start.sh"]', "shift\nexec python missing.py", ""),
        ('["/start.sh"]', "set -- a\nexec python missing.py", ""),
        ('["/start.sh"]', "cat <<E\nE\nexec python missing.py", ""),
        ('["/start.sh"]', "cd /opt\nexec python missing.py", ""),
        ('["/start.sh"]', "cd /opt\nexec python /opt/missing.py", "it runs /opt/missing.py, which"),
        ('["/start.sh"]', "FILE=inference.py\nexec python $FILE", ""),
        ('["/start.sh"]', "exec python $FILE", END),
        ('["/start.sh"]', "exec python missing.py | tee log", ""),
        ('["/start.sh"]', "trap stop TERM\nsagemaker-inference serve &\nwait", ""),
        ('["/start.sh"]', "", ""),
        ('["tini", "-g", "--", "/start.sh"]', 'exec "$@"', ""),
    ],
)  # fmt: skip
def test_the_end_of_a_script_has_to_serve(
    found: Found, tmp_path: Path, entrypoint: str, script: str, said: str
) -> None:
    (tmp_path / "start.sh").write_text(f"#!/bin/sh\n{script}\n")
    findings = [what for _, what in found(entrypoint, "ENV FILE=missing.py")]
    assert [what[: len(said)] for what in findings] == ([said] if said else [])


def test_the_line_of_a_script_is_named(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    script = '#!/usr/bin/env bash\nset -e\n\nexec \\\n  "$@"\n'
    docker = f'{HEAD}COPY docker/entry /\nENTRYPOINT ["/entry"]\n'
    (finding,) = check({**GOOD, "docker/entry": script, "Dockerfile": docker})["findings"]
    where = finding["rule"], finding["where"], finding["what"]
    assert where == ("docker-serve", "docker/entry, line 4", SERVE)
    # Of another executable, nothing is known.
    assert check({"docker/entry": "#!/usr/bin/python3\n"})["findings"] == []
    # A shell passes no signals on, whatever the name of its script is.
    (finding,) = check({"docker/entry": "#!/bin/sh\npython inference.py\n"})["findings"]
    assert finding["rule"] == "docker-exec-form"


@pytest.mark.parametrize("entrypoint", ['["serve"]', '["/opt/start.sh"]'])
def test_a_base_image_may_have_the_command(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, entrypoint: str
) -> None:
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    head = HEAD.replace(IMAGE, "FROM mine")
    files = {**GOOD, "start.sh": 'exec "$@"\n'}
    document = check({**files, "Dockerfile": f"{head}ENTRYPOINT {entrypoint}\n"})
    (finding,) = [one for one in document["findings"] if one["rule"] == "docker-serve"]
    assert finding["level"] == "warning"
    assert "; whether the base image mine has it is not known" in finding["what"]
    # Whatever it is that starts there.
    files["serve"] = ""
    more = "COPY serve /usr/bin/"
    assert (
        check({**files, "Dockerfile": f"{HEAD}{more}\nENTRYPOINT {entrypoint}\n"})["findings"] == []
    )
