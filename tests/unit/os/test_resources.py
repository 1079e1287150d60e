import os
import resource
from pathlib import Path

import pytest

from sagemaker_inference._errors import StartError
from sagemaker_inference._os import resources


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "count"), [("max 100000", 8), ("250000 100000", 2), ("1000 100000", 1), ("odd", 8)]
)
def test_a_quota_of_cgroup_v2_counts(cgroup, limit, count):
    (cgroup / "cpu.max").write_text(limit)
    assert resources.usable_cpus() == count


@pytest.mark.parametrize(
    ("quota", "period", "count"), [("400000", "100000", 4), ("-1", "100000", 8), ("x", "1", 8)]
)
def test_a_quota_of_cgroup_v1_counts(cgroup, quota, period, count):
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text(period)
    assert resources.usable_cpus() == count


def test_processors_are_counted_where_there_is_no_affinity(cgroup, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert resources.usable_cpus() == (os.cpu_count() or 1)


def test_memory_is_the_machines_without_a_limit(cgroup):
    machine = resources.memory()
    assert machine > 1 << 20
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory").mkdir()
    (cgroup / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert resources.memory() == machine


@pytest.mark.parametrize("path", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_is_what_a_cgroup_leaves(cgroup, path):
    (cgroup / "memory").mkdir()
    (cgroup / path).write_text("1048576\n")
    assert resources.memory() == 1 << 20


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0,2", ["0", "2"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("0,3,1", ["0"]),
        ("1,1,2", ["1"]),
        ("0,,1", ["0"]),
        ("none", []),
        ("NoDevFiles", []),
        ("GPU-abc, MIG-def", ["GPU-abc", "MIG-def"]),
    ],
)
def test_cudas_own_choice_of_gpus_counts(monkeypatch, visible, names):
    devices = [Path("/dev", f"nvidia{number}") for number in range(3)]
    monkeypatch.setattr(Path, "glob", lambda _self, _pattern: iter(devices))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resources.gpus() == names


def test_a_number_names_no_gpu_on_a_machine_without(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "glob", lambda _self, _pattern: iter(()))
    monkeypatch.setattr(resources, "_UNCOUNTED", (tmp_path / "dxg",))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert resources.gpus() == []
    (tmp_path / "dxg").touch()  # GPUs without a device file each
    assert resources.gpus() == ["0", "1"]


def test_gpus_are_counted_by_their_devices(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices = [Path("/dev", name) for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm")]
    monkeypatch.setattr(Path, "glob", lambda _self, _pattern: iter(devices))
    assert resources.gpus() == ["2", "10"]


@pytest.mark.parametrize("name", ["memory.events", "memory/memory.oom_control"])
def test_kills_for_want_of_memory_are_counted(cgroup, name):
    (cgroup / "memory").mkdir()
    (cgroup / name).write_text("low 0\noom_kill 3\n")
    assert resources.out_of_memory_kills() == 3


def test_the_machines_kills_count_without_a_cgroup(cgroup):
    (cgroup / "memory.events").write_text("low 0\n")
    assert resources.out_of_memory_kills() >= 0


def test_without_any_count_there_were_none(cgroup, monkeypatch):
    def refuse(_self, *_arguments, **_options):
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert resources.out_of_memory_kills() == 0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((256, 8192), (4096, 8192)),
        ((256, 800), (800, 800)),
        ((256, resource.RLIM_INFINITY), (4096, resource.RLIM_INFINITY)),
        ((1024, 2048), (2048, 2048)),
        ((4096, 8192), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_limit_of_descriptors_is_raised_where_it_may_be(monkeypatch, limits, expected):
    changed = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _which, new: changed.append(new))
    resources.raise_descriptor_limit(768)
    assert changed == ([] if expected is None else [expected])


def test_too_few_descriptors_are_an_error_that_says_how_many(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 512))
    with pytest.raises(StartError, match="needs 768 file descriptors and may have 512 at most"):
        resources.raise_descriptor_limit(768)
