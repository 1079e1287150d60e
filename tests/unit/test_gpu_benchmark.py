"""The benchmark on a GPU: what can be said of it without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.harness import find_benchmarks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.works import Work

find_benchmarks()

from benchmarks import batching, environments, gpu, load, works  # noqa: E402
from benchmarks.contender import CONTENDERS  # noqa: E402
from benchmarks.processes import ServerError  # noqa: E402

ALONE = gpu.Alone((0.1, 0.2, 0.3, 0.4), {1: 300.0, 8: 2000.0, 32: 9000.0, 64: 10000.0})


def plan(**more: Any) -> batching.Batching:
    usual = {"contenders": gpu.CONTENDERS, "names": gpu.NAMES, "loads": gpu.loads(ALONE)}
    return batching.Batching(commit="", turns=2, seconds=1, warmup=1, **(usual | more))


def probe(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(gpu, "_PROBE", code)


def model(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    (folder / "encoder.py").write_text(code)
    monkeypatch.setattr(gpu, "FOLDER", folder)


class FakeServer:
    """A server that answers at once; mosec's does not start, LitServe's answers something else."""

    started: tuple[tuple[str, str, dict[str, str]], ...] = ()

    def __init__(self, contender: Any, python: Path, mode: str, more: dict[str, str]) -> None:
        FakeServer.started += ((contender.name, mode, more),)
        self.folder = Path("/nowhere")
        self.name = contender.name

    def await_first_answer(self, work: Work) -> None:
        assert work.body == json.dumps([gpu.tokens()]).encode()
        if self.name == "mosec":
            raise ServerError("no answer after 120 s")

    def check(self, work: Work) -> None:
        work.check(200, json.dumps([[0.4, 0.3, 0.2, 0.1]]).encode())

    def close(self) -> None:
        pass


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers, environments and a load that cost nothing."""
    monkeypatch.setattr(batching, "Server", FakeServer)
    monkeypatch.setattr(environments, "prepare", lambda contender, cache: cache / contender.name)
    monkeypatch.setattr(load, "full_speed", at_full_speed)
    yield
    FakeServer.started = ()


def at_full_speed(server: FakeServer, work: Work, seconds: float) -> dict[str, Any]:
    rate = 100.0 * work.connections
    return {"rate": rate, "p50_ms": 1, "p99_ms": 2, "errors": 0, "cpu_us": {"python": 50.0}}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_torch", "cannot be imported by .*: .*No module named 'no_such_torch'$"),
        ("print()", "torch sees no GPU here. To try the programs without one: --device cpu$"),
    ],
)
def test_without_a_gpu_one_line_says_why_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    probe(monkeypatch, code)
    lines: list[str] = []
    assert gpu.measure(plan(), "cuda", tmp_path, lines.append) == {}
    [line] = lines
    assert line.startswith("gpu is skipped: ")
    with pytest.raises(gpu.MissingError, match=reason):
        gpu.find_device("cuda")


def test_the_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    probe(monkeypatch, "print('some warning'); print('NVIDIA H200')")
    assert gpu.find_device("cuda") == "NVIDIA H200"
    probe(monkeypatch, "print()")
    assert gpu.find_device("cpu") == "this machine's processors"


def test_the_model_alone_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import json, os, sys; json.load(sys.stdin); assert os.environ['BENCHMARK_TORCH']\n"
    found = {"prediction": [ALONE.prediction], "rates": ALONE.rates}
    model(monkeypatch, tmp_path, f"{code}print({json.dumps(found)!r})")
    assert gpu.run_alone("cpu", 1) == ALONE
    assert "| batches of 64 | 10,000 |" in gpu.table(ALONE)


def test_a_model_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probe(monkeypatch, "print('NVIDIA H200')")
    model(monkeypatch, tmp_path, "raise MemoryError('CUDA out of memory')")
    [(side, reason)] = gpu.measure(plan(), "cuda", tmp_path, print).items()
    assert side == "the model alone"
    assert reason.endswith("MemoryError: CUDA out of memory")


def test_each_server_is_told_where_torch_is_and_what_to_run_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", ["/a", "/b/site-packages", "/c/dist-packages"])
    told = gpu.environ("cuda")
    assert told["BENCHMARK_TORCH"] == "/b/site-packages:/c/dist-packages"
    assert told["BENCHMARK_DEVICE"] == "cuda"


def test_an_answer_is_compared_with_that_of_the_model_alone() -> None:
    [first, *_] = (each.work for each in gpu.loads(ALONE))
    assert json.loads(first.body) == [gpu.tokens()]
    assert len(gpu.tokens()) == 128
    right = np.array([ALONE.prediction])
    first.check(200, json.dumps((right + 0.005).tolist()).encode())
    wrong = [right + 0.02, right[0], right[:, :3], np.vstack([right, right])]
    for status, reply in [(500, right), *((200, each) for each in wrong)]:
        with pytest.raises(works.WrongAnswerError, match=f"gpu-1: status {status}"):
            first.check(status, json.dumps(reply.tolist()).encode())
    with pytest.raises(works.WrongAnswerError):
        first.check(200, b"<html>")


def test_goals_name_loads_and_contenders() -> None:
    for goal in gpu.goals(ALONE):
        assert goal.load in gpu.NAMES
        assert isinstance(goal.other, float) or goal.other in CONTENDERS
    wanted = [goal for goal in gpu.goals(ALONE) if goal.other == 10_000.0]
    assert [(goal.load, goal.factor) for goal in wanted] == [("gpu-256", 0.75)]


def test_a_contender_that_fails_leaves_the_others_alone(servers: None, tmp_path: Path) -> None:
    told = {"BENCHMARK_DEVICE": "cpu"}
    loads = gpu.loads(ALONE._replace(prediction=(0.4, 0.3, 0.2, 0.1)))
    run = plan(names=("gpu-16", "gpu-64"), loads=loads, environ=told)
    lines: list[str] = []
    run.run(tmp_path, lines.append)
    assert run.failures == {"mosec": "no answer after 120 s"}
    assert FakeServer.started == (
        *((name, "encoder", told) for name in gpu.CONTENDERS),
        *((name, "encoder", told) for name in ("litserve", "ours")),
    )
    assert "ours, gpu-64: 6,400/s, batches of 1.0" in lines
    table = batching.table(run.measures, loads)
    assert "| 128 tokens, 64 | litserve | 6,400 | 1.0 | 1.00 | 2.00 | 50 | 0 |" in table
    verdicts = batching.verdicts(run.measures, gpu.goals(ALONE), loads)
    assert "| 128 tokens, 64: errors | 0.00 | \u2264 0.00 | yes |" in verdicts


def test_a_wrong_answer_and_an_environment_that_cannot_be_made_are_failures(
    servers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def prepare(contender: Any, cache: Path) -> Path:
        if contender.name == "litserve":
            raise environments.InstallError("no wheel")
        return cache

    monkeypatch.setattr(environments, "prepare", prepare)
    run = plan(contenders=("litserve", "ours"))
    run.run(tmp_path, print)
    assert run.failures["litserve"] == "cannot be installed: no wheel"
    assert "not what the model predicts" in run.failures["ours"]


def test_a_whole_run_is_written(
    servers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probe(monkeypatch, "print('NVIDIA H200')")
    found = {"prediction": [[0.4, 0.3, 0.2, 0.1]], "rates": ALONE.rates}
    model(monkeypatch, tmp_path, f"print({json.dumps(found)!r})")
    lines: list[str] = []
    assert gpu.measure(plan(contenders=("ours",)), "cuda", tmp_path, lines.append) == {}
    text = "\n".join(lines)
    assert text.startswith("On NVIDIA H200\n| the model alone | rows/s |")
    assert "| 128 tokens, 256 | ours | 25,600 |" in text
    assert "| 128 tokens, 256: rate | 25,600.00 | \u2265 7,500.00 | yes |" in text


@pytest.mark.slow
def test_the_small_model_predicts_and_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # torch makes it when it is imported, and leaves it behind.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    alone = gpu.run_alone("cpu", 0.1)
    assert sum(alone.prediction) == pytest.approx(1, abs=1e-5)
    assert sorted(alone.rates) == [1, 8, 32, 64]
    assert gpu.run_alone("cpu", 0.1).prediction == alone.prediction
