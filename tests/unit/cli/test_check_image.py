"""`check` of a Dockerfile: stages, base images, and shells in ENTRYPOINT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.checked import DOCKERFILE, GOOD, PROGRAM, found

from sagemaker_inference._cli._checks import target
from sagemaker_inference._cli._checks.image import image_of
from sagemaker_inference._cli._checks.shells import passes_signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once

BARE = "FROM python:3.12-slim\n"
REST = DOCKERFILE.partition(BARE)[2]
BIDIRECTIONAL = "com.amazonaws.sagemaker.capabilities.bidirectional-streaming"


@pytest.fixture
def of_image(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """The findings about a Dockerfile, with further files."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))

    def run(text: str, files: dict[str, str] | None = None) -> list[dict[str, Any]]:
        document = check({**GOOD, **(files or {}), "Dockerfile": text})
        return [one for one in document["findings"] if one["rule"].startswith("docker-")]

    return run


@pytest.mark.parametrize(
    "last",
    ["FROM serving\n", "FROM SERVING AS final\n", "FROM --platform=linux/amd64 serving\n",
     "FROM serving AS more\nRUN true\nFROM more\n", "FROM ${STAGE} AS final\n"],
)  # fmt: skip
def test_a_stage_that_begins_from_another_has_what_that_has(of_image, last):
    text = f"ARG STAGE=serving\n{BARE.rstrip()} AS Serving\n{REST}{last}COPY a /a\n"
    assert of_image(text) == []


def test_what_a_stage_does_is_not_in_an_image_that_copies_from_it(of_image):
    text = f"{BARE.rstrip()} AS build\n{REST}USER nobody\n{BARE}COPY --from=build /a /a\n"
    assert {one["rule"] for one in of_image(text)} == {
        "docker-entrypoint",
        "docker-port-label",
        "docker-prepare",
    }


def test_lines_are_those_of_the_file(of_image):
    text = f"{BARE.rstrip()} AS one\nUSER nobody\n{REST}FROM one\n"
    (finding,) = of_image(text)
    assert finding["where"] == "Dockerfile, line 2"


def test_labels_and_variables_of_stages_are_joined(tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text(
        "ARG PORT=9000\nFROM team/base:1 AS one\nARG PORT\nENV A=1 B=$PORT\nLABEL x=1 \\\n"
        "# A comment.\n  y=2\nFROM one\nLABEL y=3"
    )
    image = image_of(path)
    assert image.base == image.unknown_base == "team/base:1"
    assert dict(image.labels) == {"x": "1", "y": "3"}
    assert dict(image.variables) == {"A": "1", "B": "9000"}


@pytest.mark.parametrize(
    ("base", "level"),
    [
        ("python:3.12-slim", "error"),
        ("docker.io/library/ubuntu@sha256:00", "error"),
        ("public.ecr.aws/docker/library/debian:12", "error"),
        ("scratch", "error"),
        ("python-of-mine", "warning"),
        ("mine/python:3", "warning"),
        ("$BASE", "warning"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0", "warning"),
    ],
)
def test_what_an_unknown_base_image_may_have_is_not_called_missing(of_image, base, level):
    asks = f"if False:\n    from sagemaker_inference import bidirectional\n{PROGRAM}"
    findings = of_image(f"ARG BASE\nFROM {base}\nCMD serve\n", {"inference.py": asks})
    levels = {one["rule"]: one["level"] for one in findings}
    assert levels == {
        "docker-entrypoint": level,
        "docker-port-label": "warning",
        "docker-bidirectional-label": level,
        "docker-prepare": "warning",
    }
    said = f"; whether the base image {base} has it is not known"
    assert all((said in one["what"]) is (level == "warning") for one in findings)


def test_text_shows_the_level_of_a_finding(check, tmp_path, monkeypatch, capsys):
    from sagemaker_inference.__main__ import main

    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    check({**GOOD, "Dockerfile": f"FROM mine\n{REST.partition('ENTRYPOINT')[0]}"})
    assert main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("warning docker-entrypoint: Dockerfile: there is no ENTRYPOINT; ")
    assert lines[-1].startswith("0 errors, 1 warning")


def test_an_empty_entrypoint_is_none(of_image):
    (finding,) = of_image(f"FROM mine\n{REST}ENTRYPOINT []\n")
    assert (finding["rule"], finding["level"]) == ("docker-entrypoint", "error")


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("COPY program /opt/program", {"program/serve": ""}),
        ("COPY serve.py /usr/local/bin/serve", {}),
        ("COPY <<serve /usr/bin/\npython a.py\nserve", {}),
        ("RUN ln -s /opt/serve.py /usr/bin/serve && true", {}),
    ],
)
def test_a_command_serve_is_run_without_an_entrypoint(of_image, line, files):
    rest = REST.partition("ENTRYPOINT")[0].replace("COPY . /opt/program\n", "")
    assert of_image(f"{BARE}{rest}{line}\n", files) == []


def test_what_is_named_like_serve_is_another_command(of_image):
    line = "RUN pip install serve && touch /opt/serve.py /opt/serve-all /serve/a\n"
    (finding,) = of_image(f"{BARE}{REST.partition('ENTRYPOINT')[0]}{line}")
    assert finding["rule"] == "docker-entrypoint"


FORMS = {
    "python inference.py": 'Write: ENTRYPOINT ["python", "inference.py"]',
    "['python', 'inference.py']": 'Write: ENTRYPOINT ["python", "inference.py"]',
    '"python"': 'Write: ENTRYPOINT ["python"]',
    "1": 'Write: ENTRYPOINT ["1"]',
    '["python"': "Write a list of JSON, as in: ",
    "cd /opt && python inference.py": "Write exec before the command that serves",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_shell_form_is_found(of_image, form):
    (finding,) = of_image(f"{BARE}{REST.replace('ENTRYPOINT', 'CMD')}ENTRYPOINT {form}\n")
    assert finding["rule"] == "docker-exec-form"
    assert finding["what"].startswith("ENTRYPOINT is in the shell form")
    assert finding["fix"].startswith(FORMS[form])


@pytest.mark.parametrize(
    ("form", "is_found"),
    [
        ('["/bin/sh", "-c", "python inference.py"]', True),
        ('["bash", "-o", "pipefail", "-c", "python inference.py | tee log"]', True),
        ('["bash", "-c", "python inference.py &"]', True),
        ('["tini", "--", "sh", "-c", "python inference.py"]', True),
        ('["env", "A=1", "sh", "-c", "python inference.py"]', True),
        ('["sh", "-c", "exec > log; python inference.py"]', True),
        ('["/bin/sh", "-c", "exec python inference.py"]', False),
        ('["bash", "-c", "cd /opt && exec python inference.py"]', False),
        ('["tini", "-g", "--", "sh", "-c", "python inference.py"]', False),
        ('["dumb-init", "--", "sh", "-c", "python inference.py"]', False),
        ('["tini", "--", "python", "inference.py"]', False),
        ('["bash", "start.sh"]', True),
        ('["/opt/start.sh", "now"]', True),
        ('["sh", "/opt/good.sh"]', False),
        ('["/opt/copied.sh"]', False),
        ('["env"]', False),
        ('["bash", "-i"]', False),
        ("exec python inference.py", False),
    ],
)  # fmt: skip
def test_a_shell_that_stays_is_found(of_image, form, is_found):
    files = {
        "start.sh": "#!/bin/sh\n# No exec here.\npython inference.py\n",
        "good.sh": '#!/bin/sh\nif [ $# -gt 0 ]; then exec python inference.py "$@"; fi\n',
        "docker/copied.sh": "exec python inference.py\n",
    }
    copies = 'COPY docker/copied.sh /opt/\nCOPY --from=b ["a", "b"]\nADD --chown=1 a b\n'
    rest = REST.partition("ENTRYPOINT")[0]
    findings = of_image(f"{BARE}{rest}{copies}ENTRYPOINT {form}\n", files)
    assert [(one["rule"], one["level"]) for one in findings] == (
        [("docker-exec-form", "error")] if is_found else []
    )


@pytest.mark.parametrize(
    "form",
    [
        '["bash", "-lc", "source env && python inference.py || exit 1"]',
        '["/usr/bin/env", "bash", "-c", "python inference.py"]',
    ],
)
def test_a_shell_that_may_replace_itself_is_a_warning(of_image, form):
    (finding,) = of_image(f"{BARE}{REST}ENTRYPOINT {form}\n")
    assert (finding["rule"], finding["level"]) == ("docker-exec-form", "warning")
    assert finding["what"].endswith("unless this release of it runs the last command in its place")


SERVE = "#!/bin/sh\npython inference.py\n"


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        ("COPY <<EOF /serve.sh\n{}EOF\n", '["/serve.sh"]'),
        ("COPY --chmod=755 <<'serve.sh' /opt/\n{}serve.sh\n", '["sh", "/opt/serve.sh"]'),
        ("RUN cat > /serve.sh <<'EOF' && chmod +x /serve.sh\n{}EOF\n", '["/serve.sh"]'),
        ("RUN <<EOF tee '/serve.sh'\n{}EOF\n", '["/serve.sh"]'),
    ],
)
def test_a_heredoc_may_write_the_script(of_image, lines, form):
    end = f"{REST.partition('ENTRYPOINT')[0]}ENTRYPOINT {form}\n"
    assert of_image(f"{BARE}{lines.format(SERVE.replace('python', 'exec python'))}{end}") == []
    (finding,) = of_image(f"{BARE}{lines.format(SERVE)}{end}")
    assert (finding["rule"], finding["level"]) == ("docker-exec-form", "error")
    assert finding["what"].endswith("serve.sh, which does not pass SIGTERM on")


@pytest.mark.parametrize(
    ("copy", "file"),
    [
        ("COPY docker/start.sh /opt/serve.sh", "docker/start.sh"),
        ("COPY a.txt docker /opt/", "docker/serve.sh"),
        ("COPY /docker/ /opt", "docker/serve.sh"),
        ("COPY docker .", "docker/serve.sh"),
        ("COPY . /", "opt/serve.sh"),
        ("COPY *.sh /opt/", "serve.sh"),
    ],
)
def test_the_script_is_found_where_it_is_copied_from(of_image, copy, file):
    end = f'{REST.partition("ENTRYPOINT")[0]}{copy}\nENTRYPOINT ["/opt/serve.sh"]\n'
    (finding,) = of_image(f"{BARE}{end}", {file: SERVE})
    assert finding["what"] == f"ENTRYPOINT runs {file}, which does not pass SIGTERM on"


@pytest.mark.parametrize(
    "run",
    [
        "python -m sagemaker_inference prepare",
        '["/opt/venv/bin/sagemaker-inference", "prepare"]',
        "<<EOF\nsagemaker-inference prepare\nEOF",
    ],
)
def test_prepare_has_several_forms(of_image, run):
    rest = REST.replace("sagemaker-inference prepare", "true")
    assert [one["rule"] for one in of_image(f"{BARE}{rest}")] == ["docker-prepare"]
    assert of_image(f"{BARE}{rest}RUN {run}\n") == []


@pytest.mark.parametrize(
    ("program", "form", "rules"),
    [
        ("from sagemaker_inference import serve as run\nrun(__name__)", "", []),
        ("from sagemaker_inference import serve as run", "", ["docker-serve"]),
        ("from sagemaker_inference import model_server as m\nm.start_model_server()", "", []),
        ("import a", '["python", "-m", "sagemaker_inference", "serve", "inference.py"]', []),
    ],
)
def test_a_program_may_be_served_in_another_way(of_image, program, form, rules):
    files = {"inference.py": program}
    end = f"ENTRYPOINT {form}\n" if form else ""
    assert [one["rule"] for one in of_image(f"{BARE}{REST}{end}", files)] == rules


def test_a_script_that_is_not_here_is_not_known(of_image):
    form, serve = of_image(f'{BARE}{REST}ENTRYPOINT ["/entrypoint.sh"]\n')
    assert (form["rule"], form["level"]) == ("docker-exec-form", "warning")
    assert "whether it runs the server by exec is not known" in form["what"]
    assert (serve["rule"], serve["level"]) == ("docker-serve", "warning")
    assert "whether it serves where its argument is serve is not known" in serve["what"]


def test_a_program_that_a_shell_runs_has_to_serve(of_image):
    files = {"inference.py": PROGRAM.replace("serve(__name__)", "")}
    form = '["sh", "-c", "exec python /opt/program/inference.py"]'
    findings = of_image(f"{BARE}{REST}ENTRYPOINT {form}\n", files)
    assert [one["rule"] for one in findings] == ["docker-serve"]
    odd = '["sh", "-c", "exec python \'inference.py"]'
    assert of_image(f"{BARE}{REST}ENTRYPOINT {odd}\n", files) == []


def test_exec_is_a_word_of_its_own():
    assert not passes_signals("executor a\npython a.py # exec b\n#exec c")
    assert passes_signals("a\n\texec b")


@pytest.mark.parametrize("end", ["TERM", "INT SIGTERM", "15"])
def test_a_shell_may_wait_for_sigterm_itself(end):
    assert passes_signals(f"python a.py &\npid=$!\ntrap 'kill $pid' {end}\nwait $pid\n")
    assert not passes_signals(f"# trap 'kill $pid' {end}\ntrap - INT\n")


def test_packages_of_an_unknown_base_image_are_not_known(check, monkeypatch):
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    files = {**GOOD, "inference.py": f"import h11\n{PROGRAM}"}
    document = check({**files, "Dockerfile": f"FROM mine\n{REST}"})
    (finding,) = document["findings"]
    assert finding["what"].endswith("installs h11; whether the base image mine has it is not known")


def test_packages_that_a_dockerfile_installs_from_a_file_are_installed(check, monkeypatch):
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    files = {
        **GOOD,
        "inference.py": f"import h11\n{PROGRAM}",
        "docker/base.txt": "-r more.txt\n-c limits.txt\n",
        "docker/more.txt": "h11>=0.14\n",
        "docker/limits.txt": "anyio<5\n",
    }
    install = "COPY docker/base.txt /tmp/\nRUN pip install -r /tmp/base.txt -r /tmp/unknown.txt\n"
    assert found(check({**files, "Dockerfile": f"{BARE}{install}{REST}"})) == set()
    assert found(check({**files, "Dockerfile": f"{BARE}{REST}"})) == {"requirements-imports"}


REQUIREMENTS = [
    ("-r more.txt\n", {"more.txt": "pandas>>2\n"}, "requirements-lines", "more.txt, line 1"),
    ("--requirement=sub/more.txt", {"sub/more.txt": "-rlast.txt", "sub/last.txt": "\n\nscipy\n"},
     "requirements-pins", "sub/last.txt, line 3"),
    ("a>1\n-r no.txt  # a comment\n", {}, "requirements-lines", "requirements.txt, line 2"),
    ("-c no.txt", {}, "requirements-lines", "requirements.txt, line 1"),
    ("-c limits.txt", {"limits.txt": "pandas>>2"}, "requirements-lines", "limits.txt, line 1"),
    ("scipy \\\n\n# a \\\npandas", {}, "requirements-pins", "requirements.txt, line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "files", "rule", "where"), REQUIREMENTS)
def test_files_that_requirements_name_are_read(check, monkeypatch, text, files, rule, where):
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    document = check({**GOOD, "requirements.txt": text, **files})
    assert (rule, where) in {(one["rule"], one["where"]) for one in document["findings"]}


def test_constraints_are_versions_and_install_nothing(check, monkeypatch):
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    files = {**GOOD, "inference.py": f"import h11\n{PROGRAM}", "limits.txt": "scipy<2\nh11\nx==1\n"}
    document = check({**files, "requirements.txt": "scipy\n-c limits.txt\n-c https://a/b.txt\n"})
    assert found(document) == {"requirements-imports"}
    document = check({**files, "requirements.txt": "scipy\nh11\n-c limits.txt\n-r ${HERE}/x\n"})
    (finding,) = document["findings"]
    assert finding["where"] == "requirements.txt, line 2"


@pytest.mark.parametrize(
    ("words", "inside"), [((".",), "code"), (("model/code",), ""), (("inference.py",), "code")]
)
def test_the_model_is_around_the_folder_code(
    check, started, tmp_path: Path, monkeypatch, words, inside
):
    for name, text in GOOD.items():
        path = tmp_path / "model" / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "model" / "code" / "Dockerfile").rename(tmp_path / "model" / "Dockerfile")
    if inside:
        monkeypatch.chdir(tmp_path / "model" / inside)
    document = check({}, *words, "--run")
    assert started.model_dir == str(tmp_path / "model")
    assert "docker-entrypoint" in document["passed"]
    # A project whose folder happens to have this name.
    (tmp_path / "model" / "code" / "model").mkdir()
    check({}, *words, "--run")
    assert started.model_dir is None
