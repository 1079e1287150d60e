import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._frontends.base import ClientLimits
from sagemaker_inference._frontends.mms import class_data, launcher, training
from sagemaker_inference._frontends.mms import jar as jars
from sagemaker_inference._frontends.mms.java import find_java
from sagemaker_inference._frontends.mms.launcher import MultiModelServer
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference.errors import StartError

MAKES = """for word; do
    case "$word" in -XX:SharedArchiveFile=* | -XX:AOTCache=*) echo "$@" > "${word#*=}" ;; esac
done
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The package's folder for class data."""
    path = tmp_path / "class_data"
    monkeypatch.setattr(class_data, "_PACKAGE_FOLDER", path)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch, folder):
    """The folder in the user's cache, on a machine that is not a container."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SAGEMAKER_CLASS_CACHE", "true")
    monkeypatch.setattr(class_data, "is_container", lambda: False)
    return tmp_path / "cache" / "sagemaker-inference"


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Make a Java that does what a script does."""
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(home))

    def make(script=MAKES, version="24.0.1"):
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
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


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    """Training runs that do not take place: the flags of each."""
    flags = []
    monkeypatch.setattr(training, "run", lambda _java, _jars, words, _seconds: flags.append(words))
    return flags


def front_end(vmargs=""):
    return MultiModelServer.find(
        host="h",
        port=80,
        workers=1,
        payload_limit=1 << 20,
        response_limit=1 << 20,
        answer_timeout=9,
        clients=ClientLimits(1, 2, 3, 4, None, 6),
        vmargs=vmargs,
        more={},
    )


def flags_of_data(tmp_path, vmargs=""):
    """What a server's command line has of class data."""
    command = front_end(vmargs).prepare(str(tmp_path), "/control.sock").command
    return [word for word in command if word.startswith(("-XX:Shared", "-XX:AOT", "-Xlog"))]


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.parametrize(
    ("version", "record", "use"),
    [
        ("17.0.15", ["-XX:DumpLoadedClassList"], ["-XX:SharedArchiveFile={}"]),
        ("24", ["-XX:DumpLoadedClassList"], ["-XX:SharedArchiveFile={}"]),
        (
            "25.0.2",
            ["-XX:AOTMode", "-XX:AOTConfiguration"],
            ["-XX:AOTCache={}", "-Xlog:aot*=off"],
        ),
    ],
)
def test_what_was_prepared_is_used(folder, java, jar, tmp_path, capsys, runs, version, record, use):
    java(version=version)
    assert flags_of_data(tmp_path) == []
    assert main(["prepare"]) == 0
    (made,) = folder.glob("classes-*")
    assert f"{made}, 0 MB" in capsys.readouterr().out
    assert [[word.partition("=")[0] for word in words] for words in runs] == [record]
    assert flags_of_data(tmp_path) == [flag.format(made) for flag in use]
    assert made.stat().st_mode & 0o777 == 0o644


def test_it_is_made_with_the_flags_that_it_is_used_with(folder, java, jar, tmp_path):
    java()
    launcher.prepare()
    (made,) = folder.glob("classes-*")
    words = made.read_text().split()
    flags = find_java().flags
    assert "--enable-native-access=ALL-UNNAMED" in flags
    assert set(flags) <= set(words)
    assert set(flags) <= set(front_end().prepare(str(tmp_path), "/control.sock").command)


def test_another_java_or_jar_has_other_data_and_the_old_is_removed(folder, java, jar, tmp_path):
    home = java()
    launcher.prepare()
    assert flags_of_data(tmp_path)
    jar.write_text("another jar")
    assert not flags_of_data(tmp_path)
    launcher.prepare()
    assert flags_of_data(tmp_path)
    assert len(files(folder)) == 1
    java("echo 'version \"17\"'")
    (home / "release").unlink()
    assert not flags_of_data(tmp_path)


def test_other_installations_keep_theirs(folder, java, jar, monkeypatch):
    java()
    launcher.prepare()
    another = jar.with_name("another.jar")
    another.write_text("jar")
    monkeypatch.setattr(jars, "find_jar", lambda: str(another))
    launcher.prepare()
    assert len(files(folder)) == 2


def test_a_java_that_makes_none_is_quoted_and_leaves_what_was_there(folder, java, jar, capsys):
    java()
    launcher.prepare()
    before = files(folder)
    java("echo no class data here >&2; exit 3")
    assert main(["prepare"]) == 1
    message = "it ended with exit code 3. Its last lines:\n    no class data here"
    assert message in capsys.readouterr().err
    assert files(folder) == before
    java("exit 0")
    with pytest.raises(StartError, match="No such file"):
        launcher.prepare()
    assert files(folder) == before


def test_a_java_that_hangs_is_given_up(folder, java, jar, monkeypatch):
    java("exec sleep 30")
    monkeypatch.setattr(class_data, "_SECONDS", 0.1)
    with pytest.raises(StartError, match=r"it took over 0\.1 s"):
        launcher.prepare()
    assert not files(folder)


def test_a_folder_that_cannot_be_written_is_named(java, jar, monkeypatch, tmp_path):
    java()
    monkeypatch.setattr(class_data, "_PACKAGE_FOLDER", tmp_path / "no" / "where")
    with pytest.raises(StartError, match=r"could be made in .*where"):
        launcher.prepare()


def test_data_that_was_cut_off_is_not_used(folder, java, jar, tmp_path):
    java()
    launcher.prepare()
    (made,) = folder.glob("classes-*")
    made.write_text(made.read_text()[:-1])
    assert flags_of_data(tmp_path) == []


def test_data_that_is_removed_at_this_moment_is_not_used(folder, java, jar, tmp_path, monkeypatch):
    java()
    launcher.prepare()
    (made,) = folder.glob("classes-*")
    glob = Path.glob

    def removing(path, pattern):
        found = list(glob(path, pattern))
        made.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "glob", removing)
    assert flags_of_data(tmp_path) == []


def test_the_users_own_flags_replace_ours(folder, cache, java, jar, tmp_path):
    java(version="25")
    launcher.prepare()
    own = "-XX:AOTCache=/mine.aot"
    assert flags_of_data(tmp_path, own) == [own]
    assert flags_of_data(tmp_path, "-Xshare:off") == []
    assert front_end(own).background(str(tmp_path)) is None


def make_cached(tmp_path):
    """Make class data as a server does in the background; the exit code."""
    command, environment = front_end().background(str(tmp_path))
    assert environment["TMPDIR"] == str(tmp_path)
    assert command[:3] == python_command(class_data.__name__)
    return class_data.main(["", *command[3:]])


@pytest.fixture
def nice(monkeypatch):
    """Priorities that this process takes."""
    taken = []
    monkeypatch.setattr(os, "nice", taken.append)
    return taken


def test_a_server_without_data_makes_some_for_the_next(cache, java, jar, tmp_path, nice, capfd):
    java()
    assert flags_of_data(tmp_path) == []
    assert make_cached(tmp_path) == 0
    assert nice == [19]
    (made,) = cache.glob("classes-*")
    assert flags_of_data(tmp_path) == [f"-XX:SharedArchiveFile={made}"]
    assert front_end().background(str(tmp_path)) is None
    assert capfd.readouterr() == ("", "")


def test_what_was_prepared_is_enough(cache, java, jar, tmp_path, nice):
    java()
    make_cached(tmp_path)
    launcher.prepare()
    assert "cache" not in flags_of_data(tmp_path)[0]


def test_it_can_be_switched_off(cache, java, jar, tmp_path, nice, monkeypatch):
    java()
    make_cached(tmp_path)
    monkeypatch.setenv("SAGEMAKER_CLASS_CACHE", "false")
    assert flags_of_data(tmp_path) == []
    assert front_end().background(str(tmp_path)) is None


def test_none_is_made_in_a_container(cache, java, jar, tmp_path, monkeypatch):
    java()
    monkeypatch.setattr(class_data, "is_container", lambda: True)
    assert front_end().background(str(tmp_path)) is None
    assert not cache.exists()


def test_none_is_made_where_there_is_no_place_for_it(cache, java, jar, tmp_path, monkeypatch):
    java()
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert front_end().background(str(tmp_path)) is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "with:colon"))
    assert front_end().background(str(tmp_path)) is None


def test_data_that_others_may_have_written_is_not_used(cache, java, jar, tmp_path, nice):
    java()
    make_cached(tmp_path)
    (made,) = cache.glob("classes-*")
    made.chmod(0o666)
    assert flags_of_data(tmp_path) == []
    made.chmod(0o644)
    assert flags_of_data(tmp_path)
    cache.chmod(0o770)
    assert flags_of_data(tmp_path) == []


def test_what_a_killed_one_has_left_is_removed(cache, java, jar, tmp_path, nice):
    java()
    left = cache / ".unfinished-x"
    left.mkdir(parents=True)
    cache.chmod(0o700)
    (left / "made").touch()
    assert make_cached(tmp_path) == 0
    assert len(files(cache)) == 1


def test_of_two_only_one_makes_it(cache, java, jar, tmp_path, nice, runs):
    java()
    command, _ = front_end().background(str(tmp_path))
    lock = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert class_data.main(["", *command[3:]]) == 1
    os.close(lock)
    assert class_data.main(["", *command[3:]]) == 0
    # It was there when the third came.
    assert class_data.main(["", *command[3:]]) == 0
    assert len(runs) == 1


def test_a_failure_is_not_spoken_of(cache, java, jar, tmp_path, nice, capfd):
    java("echo no class data here; exit 1")
    assert make_cached(tmp_path) == 1
    assert files(cache) == []
    assert capfd.readouterr() == ("", "")


def test_the_background_process_is_a_program_of_its_own(cache, java, jar, tmp_path):
    java("echo no training here; exit 1")
    command, environment = front_end().background(str(tmp_path))
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert command[0] == sys.executable
