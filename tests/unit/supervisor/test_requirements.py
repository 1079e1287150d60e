import logging
import os
import shutil
import subprocess
import sys
import types
import zipfile
from importlib import metadata

import pytest

from sagemaker_inference._supervisor import requirements
from sagemaker_inference._supervisor.requirements import RequirementsError, install
from sagemaker_inference.errors import StartError

ARN = "arn:aws:codeartifact:eu-west-1:123456789012:repository/our-domain/our-repository"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("a-package-of-this-test\n")
    return path


@pytest.fixture
def calls(monkeypatch):
    """What would have been run: command lines and environments."""
    made = []

    def check_call(command, *, env, **_options):
        made.append((command, env))

    monkeypatch.setattr(subprocess, "check_call", check_call)
    return made


def saying(monkeypatch, *lines, error=None):
    """An installer that says these lines and fails."""

    def check_call(command, *, stdout, **_options):
        os.write(stdout, "".join(f"{line}\n" for line in lines).encode())
        raise error or subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "check_call", check_call)


def refusal(file):
    with pytest.raises(RequirementsError) as caught:
        install(str(file))
    assert isinstance(caught.value, StartError)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_pip_of_the_running_interpreter_installs(calls, file):
    install(str(file))
    ((command, env),) = calls
    assert command[:-2] == [sys.executable, "-c", requirements._PIP, "install", "-r", str(file)]
    assert env["PIP_NO_INPUT"] == "1"


def test_uv_installs_into_the_running_interpreter_where_there_is_no_pip(calls, file, monkeypatch):
    monkeypatch.setattr(requirements.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    install(str(file))
    assert calls[0][0][:-2] == [
        "/bin/uv", "pip", "install", "--python", sys.executable, "-r", str(file),
    ]  # fmt: skip


def test_without_pip_and_uv_the_mend_is_said(file, monkeypatch):
    monkeypatch.setattr(requirements.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "has no pip, and there is no uv" in refusal(file)


def write_wheel(folder, name="a_package_of_this_test", version=1):
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version}\n")
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_relative_paths_begin_at_the_folder_of_the_file(file, tmp_path, monkeypatch):
    for version in (1, 2, 3):
        write_wheel(tmp_path / "dist", version=version)
    for name in ("by_path", "by_file"):
        write_wheel(tmp_path / "dist", name)
    file.write_text(
        "--no-index\n--find-links dist\n-r more/others.txt\n-c constraints.txt\n"
        "a-package-of-this-test\n./dist/by_path-1-py3-none-any.whl\n"
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "others.txt").write_text("by-file\n")
    (tmp_path / "constraints.txt").write_text("a-package-of-this-test<3\n")
    (tmp_path / "pip.conf").write_text("[install]\ntarget = installed\n")
    # A program may have such names, which are not pip's.
    for name in ("json.py", "pip.py", "typing.py"):
        (tmp_path / name).write_text("raise ImportError(__file__)\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", "pip.conf")
    monkeypatch.chdir("/")
    install(str(file))
    installed = tmp_path / "installed"
    assert (installed / "a_package_of_this_test.py").read_text() == "VERSION = 2\n"
    assert (installed / "by_path.py").exists()
    assert (installed / "by_file.py").exists()


def test_a_folder_of_wheels_is_installed_from_offline(file, tmp_path, caplog, monkeypatch):
    write_wheel(tmp_path / "wheels")
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "target"
    configured = tmp_path / "pip.conf"
    configured.write_text(f"[install]\nfind-links = {tmp_path / 'elsewhere'}\n")
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setenv("PIP_TARGET", str(target))
        patch.setenv("PIP_CONFIG_FILE", str(configured))
        install(file.name)
    assert "elsewhere" not in caplog.text
    assert (target / "a_package_of_this_test.py").is_file()
    assert any("Successfully installed" in record.getMessage() for record in caplog.records)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package in a folder that pip takes for the only one, and wheels of other versions."""
    monkeypatch.setattr(metadata, "version", lambda _name: "2.0.0")
    write_wheel(tmp_path / "wheels", "sagemaker_inference", "1.10.1")
    write_wheel(tmp_path / "wheels", "sagemaker_inference", "2.0.0")
    write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("PIP_IGNORE_INSTALLED", "1")
    return tmp_path / "target"


@pytest.mark.parametrize("line", ["sagemaker-inference==1.10.1", "SageMaker_Inference[java]<2"])
def test_another_version_of_this_package_is_refused(installed, file, line):
    file.write_text(f"a-package-of-this-test\n{line}\n")
    said = refusal(file).splitlines()[0]
    assert said == (
        f"failed to install required packages of {file}: it asks for another version of "
        "sagemaker-inference than 2.0.0, which is serving. Leave sagemaker-inference out of it: "
        "the image has it"
    )
    assert not installed.exists()


@pytest.mark.parametrize("line", ["sagemaker-inference", "sagemaker-inference>=2,<3"])
def test_this_version_of_this_package_may_be_asked_for(installed, file, line):
    file.write_text(f"a-package-of-this-test\n{line}\n")
    install(str(file))
    assert (installed / "sagemaker_inference-2.0.0.dist-info").is_dir()


def test_uv_refuses_another_version_of_this_package_in_other_words(file, monkeypatch):
    pin = f"sagemaker-inference=={metadata.version('sagemaker-inference')}"
    said = (
        f"Because you require sagemaker-inference==1.10.1 and {pin}, we can conclude that your",
        "requirements are unsatisfiable.",
    )
    saying(monkeypatch, *said)
    assert "it asks for another version of sagemaker-inference than " in refusal(file)
    saying(monkeypatch, f"Because there are no versions of a and you require {pin}")
    assert "another version" not in refusal(file)


def test_a_package_that_is_not_installed_has_no_version_to_keep(file, monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    write_wheel(file.parent / "wheels")
    target = file.parent / "target"
    monkeypatch.setenv("PIP_TARGET", str(target))
    install(str(file))
    assert (target / "a_package_of_this_test.py").is_file()
    saying(monkeypatch, "unsatisfiable")
    assert "another version" not in refusal(file)


def test_a_failure_ends_with_the_installers_last_lines(file, monkeypatch, caplog):
    saying(monkeypatch, *map(str, range(30)), "ERROR: no such thing")
    with caplog.at_level(logging.INFO):
        message = refusal(file)
    assert message.startswith(f"failed to install required packages of {file}\n")
    assert message.endswith("\n29\nERROR: no such thing")
    assert "\n15\n" not in message
    assert "ERROR: no such thing" in caplog.messages


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("OSError: [Errno 30] Read-only file system: '/x'", "is read-only. Build the packages"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full."),
    ],
)
def test_a_disk_that_takes_nothing_is_said(file, monkeypatch, line, words):
    saying(monkeypatch, line)
    assert words in refusal(file)


def test_an_installer_that_cannot_be_run_is_said(file, monkeypatch):
    saying(monkeypatch, error=OSError("not there"))
    assert ": not there" in refusal(file)


class Client:
    def get_authorization_token(self, **where):
        assert where == {"domain": "our-domain", "domainOwner": "123456789012"}
        return {"authorizationToken": "s3cret"}

    def get_repository_endpoint(self, *, repository, **_where):
        return {"repositoryEndpoint": f"https://host/pypi/{repository}/"}


@pytest.fixture
def boto3(monkeypatch):
    found = types.ModuleType("boto3")
    found.client = lambda _service, region_name: Client()
    monkeypatch.setitem(sys.modules, "boto3", found)
    monkeypatch.setenv("CA_REPOSITORY_ARN", ARN)
    return found


def test_the_token_of_codeartifact_is_in_the_environment_alone(calls, file, boto3):
    install(str(file))
    ((command, env),) = calls
    assert env["PIP_INDEX_URL"] == "https://aws:s3cret@host/pypi/our-repository/simple/"
    assert "s3cret" not in " ".join(command)


def test_the_token_of_codeartifact_is_in_no_log(file, boto3, monkeypatch, caplog):
    saying(monkeypatch, "Looking in https://aws:s3cret@host/pypi/our-repository/simple/", "s3cret")
    with caplog.at_level(logging.INFO):
        message = refusal(file)
    assert "s3cret" not in message + caplog.text


def test_a_token_of_any_characters_is_part_of_a_url(calls, file, boto3, monkeypatch, caplog):
    answer = {"authorizationToken": "a/+=b"}
    monkeypatch.setattr(Client, "get_authorization_token", lambda *_, **__: answer)
    install(str(file))
    assert calls[0][1]["PIP_INDEX_URL"].startswith("https://aws:a%2F%2B%3Db@host/")
    saying(monkeypatch, "a%2F%2B%3Db", "a/+=b")
    with caplog.at_level(logging.INFO):
        assert refusal(file).endswith("\n****\n****")


def test_a_malformed_arn_is_named(file, boto3, monkeypatch):
    monkeypatch.setenv("CA_REPOSITORY_ARN", "arn:nonsense")
    assert refusal(file).startswith("CA_REPOSITORY_ARN='arn:nonsense' is not the ARN")


def test_without_boto3_the_extra_is_named(file, boto3, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "pip install 'sagemaker-inference[codeartifact]'" in refusal(file)


def test_codeartifact_that_refuses_is_said(file, boto3, monkeypatch):
    monkeypatch.setattr(Client, "get_authorization_token", lambda *_, **__: 1 / 0)
    assert "CodeArtifact gives no access: division by zero" in refusal(file)
