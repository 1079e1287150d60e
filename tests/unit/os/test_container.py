import os

import pytest

from sagemaker_inference._os import container


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without signs of a container; returns a function that writes its cgroups."""
    monkeypatch.setattr(container, "_FILES", (tmp_path / ".dockerenv",))
    for name in container._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "cgroup"
    monkeypatch.setattr(container, "_CGROUPS", path)
    path.write_text("0::/user.slice/user-1000.slice/session-2.scope\n")
    return path


def test_a_desktop_is_not_a_container(machine):
    assert not container.is_container()
    machine.write_text("12:cpuset:/\n1:name=systemd:/user.slice/user-1000.slice\n")
    assert not container.is_container()
    machine.write_text("0::/system.slice/model.service\n")
    assert not container.is_container()


@pytest.mark.parametrize(
    "cgroups",
    [
        "0::/\n",
        "11:cpuset:/\n1:name=systemd:/\n",
        "4:memory:/docker/0123456789ab\n",
        "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-01.scope\n",
        "0::/machine.slice/libpod-0123456789ab.scope/container\n",
        "3:cpu:/ecs/0123456789ab\n",
    ],
)
def test_cgroups_tell(machine, cgroups):
    machine.write_text(cgroups)
    assert container.is_container()


def test_what_cannot_be_known_is_taken_for_a_container(machine):
    machine.unlink()
    assert container.is_container()


def test_a_file_tells(machine):
    (machine.parent / ".dockerenv").touch()
    assert container.is_container()


@pytest.mark.parametrize("name", container._VARIABLES)
def test_a_variable_tells(machine, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert container.is_container()


def test_process_1_is_in_a_container(machine, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert container.is_container()
