import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._frontends.mms import class_data, launcher
from sagemaker_inference._frontends.mms import jar as jars
from sagemaker_inference._frontends.mms.java import find_java
from sagemaker_inference._frontends.mms.launcher import MultiModelServer
from sagemaker_inference.errors import StartError

MAKES = """for word; do
    case "$word" in -XX:SharedArchiveFile=*) echo "$@" > "${word#*=}" ;; esac
done
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where archives are kept."""
    path = tmp_path / "etc"
    path.mkdir()
    monkeypatch.setattr(class_data, "_FOLDER", path)
    return path


@pytest.fixture
def java(tmp_path, monkeypatch):
    """A Java that does what a script does."""
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "release").write_text('JAVA_VERSION="24.0.1"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))

    def make(script=MAKES):
        java = home / "bin" / "java"
        java.write_text(f"#!/bin/sh\n{script}")
        java.chmod(0o755)
        return home

    return make


@pytest.fixture
def jar(tmp_path, monkeypatch):
    """The front end's jar."""
    path = tmp_path / "model-server.jar"
    path.write_text("jar")
    monkeypatch.setattr(jars, "find_jar", lambda: str(path))
    return path


def command(tmp_path):
    front_end = MultiModelServer.find(
        host="h", port=80, workers=1, payload_limit=1 << 20, answer_timeout=9, vmargs=""
    )
    return front_end.prepare(str(tmp_path), "/control.sock").command


def archives(words):
    return [word for word in words if word.startswith("-XX:SharedArchiveFile")]


def test_an_archive_that_was_made_is_used(folder, java, jar, tmp_path, capsys):
    java()
    assert archives(command(tmp_path)) == []
    assert main(["prepare"]) == 0
    (made,) = folder.iterdir()
    assert str(made) in capsys.readouterr().out
    assert archives(command(tmp_path)) == [f"-XX:SharedArchiveFile={made}"]
    assert made.stat().st_mode & 0o777 == 0o644


def test_it_is_made_with_the_flags_that_it_is_used_with(folder, java, jar, tmp_path):
    java()
    launcher.prepare()
    (made,) = folder.iterdir()
    words = made.read_text().split()
    flags = find_java().flags
    assert "--enable-native-access=ALL-UNNAMED" in flags
    assert set(flags) <= set(words)
    assert set(flags) <= set(command(tmp_path))


def test_another_java_or_jar_has_another_archive(folder, java, jar, tmp_path):
    home = java()
    launcher.prepare()
    assert archives(command(tmp_path))
    jar.write_text("another jar")
    assert not archives(command(tmp_path))
    launcher.prepare()
    assert archives(command(tmp_path))
    (home / "release").unlink()
    java("echo 'version \"17\"'")
    assert not archives(command(tmp_path))


def test_a_java_that_makes_none_is_quoted_and_leaves_what_was_there(folder, java, jar, capsys):
    java()
    launcher.prepare()
    before = sorted(folder.iterdir())
    java("echo no archives here")
    assert main(["prepare"]) == 1
    assert "made no archive of classes. Its last lines:\n    no archives" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_a_java_that_hangs_is_given_up(folder, java, jar, monkeypatch):
    java("exec sleep 30")
    monkeypatch.setattr(class_data, "_DUMP_SECONDS", 0.1)
    with pytest.raises(StartError, match="timed out"):
        launcher.prepare()
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_named(java, jar, monkeypatch, tmp_path):
    java()
    monkeypatch.setattr(class_data, "_FOLDER", tmp_path / "nowhere")
    with pytest.raises(StartError, match=r"could be made in .*nowhere"):
        launcher.prepare()


def test_an_archive_that_was_cut_off_is_not_used(folder, java, jar, tmp_path):
    java()
    launcher.prepare()
    (made,) = folder.iterdir()
    made.write_text(made.read_text()[:-1])
    assert archives(command(tmp_path)) == []
