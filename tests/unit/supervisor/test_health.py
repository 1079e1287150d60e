"""The health of the server: what follows from which facts, and what a ping is answered."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._supervisor.health import CRITICAL_SECONDS, Facts, Health, judge


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(is_loaded=False, wanted=2, able=0, unable_for=99), "initializing"),
        (Facts(is_loaded=False, wanted=2, able=1, unable_for=0), "initializing"),
        (Facts(is_loaded=True, wanted=2, able=2, unable_for=0), "healthy"),
        (Facts(is_loaded=True, wanted=0, able=0, unable_for=0), "healthy"),
        (Facts(is_loaded=True, wanted=2, able=1, unable_for=0), "degraded"),
        (Facts(is_loaded=True, wanted=2, able=0, unable_for=9.9), "degraded"),
        (Facts(is_loaded=True, wanted=2, able=0, unable_for=10), "critical"),
        (Facts(is_loaded=True, wanted=2, able=0, unable_for=10, has_many=True), "degraded"),
    ],
)
def test_the_state_follows_from_the_facts(facts: Facts, state: str) -> None:
    assert judge(facts) == state


@given(st.integers(1, 9), st.integers(0, 9), st.floats(0, 100))
def test_a_server_with_an_able_worker_is_never_critical(
    wanted: int, able: int, unable_for: float
) -> None:
    state = judge(Facts(is_loaded=True, wanted=wanted, able=able, unable_for=unable_for))
    assert (state == "critical") == (able == 0 and unable_for >= CRITICAL_SECONDS)
    assert (state == "healthy") == (able >= wanted)


class Bench:
    """Workers as a test wants them, a clock, and what the front end was told."""

    def __init__(self, *, has_many: bool = False) -> None:
        self.pushed: list[tuple[Any, ...]] = []
        self.now = 0.0
        self.workers = SimpleNamespace(target=2, handles=[], processes=[], last_death="")
        model = SimpleNamespace(deployment=SimpleNamespace(workers=self.workers))
        self.health = Health(
            SimpleNamespace(models=[model]),  # type: ignore[arg-type]
            SimpleNamespace(set_health=lambda *answer: self.pushed.append(answer)),  # type: ignore[arg-type]
            has_many=has_many,
            clock=lambda: self.now,
        )

    def have(self, *stages: str, is_stopped: bool = False) -> None:
        states = {"loaded": "stuck" if is_stopped else "ready", "": "starting"}
        self.workers.handles = self.workers.processes = [
            SimpleNamespace(
                stage=stage,
                state=states.get(stage, "loading"),
                pulse=SimpleNamespace(is_stopped=is_stopped),
            )
            for stage in stages
        ]

    def ping(self) -> tuple[int, dict[str, str]]:
        self.health.check()
        status, body, _ = self.pushed[-1]
        return status, json.loads(body or "{}")


def test_a_ping_says_how_far_the_start_is() -> None:
    bench = Bench()
    bench.health.is_installing = True
    status, document = bench.ping()
    assert (status, document["status"], document["phase"]) == (503, "initializing", "installing")
    assert document["since"].endswith("Z")
    bench.health.is_installing = False
    for stages, phase in (
        ([], "importing"),
        (["", "assembled"], "importing"),
        (["assembled", "loaded"], "loading"),
        (["warming", "loaded"], "warming up"),
        (["loaded", "loaded"], "warming up"),
    ):
        bench.have(*stages)
        assert bench.ping()[1]["phase"] == phase
    bench.health.is_loaded = True
    bench.health.check()
    assert bench.pushed[-1] == (200, "", 5)


def test_it_is_pushed_when_it_changes_and_when_it_beats() -> None:
    bench = Bench()
    for _ in range(3):
        bench.health.check()
    assert len(bench.pushed) == 1
    bench.health.beat()
    assert len(bench.pushed) == 2


def test_it_is_critical_when_no_worker_was_able_for_long_and_never_latches() -> None:
    bench = Bench()
    bench.health.is_loaded = True
    bench.have("loaded", "loaded")
    assert bench.ping() == (200, {})
    bench.now = 100
    bench.health.check()
    for _ in range(2):
        bench.have("", "assembled")
        bench.now += 9.9
        assert (bench.ping()[0], bench.health.state) == (200, "degraded")
        bench.now += 0.2
        status, document = bench.ping()
        assert (status, document["status"]) == (503, "critical")
        assert "no worker has been able to answer for 10 s" in document["cause"]
        bench.have("", "loaded")
        assert (bench.ping(), bench.health.state) == ((200, {}), "degraded")


@pytest.mark.parametrize(
    ("stages", "is_stopped", "last_death", "why"),
    [
        (["loaded", "loaded"], True, "ended with exit code 3", ": all are stopped; see the log"),
        (["assembled"], False, "ended with exit code 3", ": the last one ended with exit code 3; "),
        ([], False, "was killed by SIGKILL", ": the last one was killed by SIGKILL; see the log"),
        (["assembled"], False, "", " for 10 s; see the log"),
    ],
)
def test_a_critical_ping_says_why(
    stages: list[str], last_death: str, why: str, *, is_stopped: bool
) -> None:
    bench = Bench()
    bench.health.is_loaded = True
    bench.have(*stages, is_stopped=is_stopped)
    bench.workers.last_death = last_death
    bench.now = 10
    assert why in bench.ping()[1]["cause"]


def test_one_of_many_models_makes_nothing_critical() -> None:
    bench = Bench(has_many=True)
    bench.health.is_loaded = True
    bench.now = 1000
    assert (bench.ping(), bench.health.state) == ((200, {}), "degraded")
