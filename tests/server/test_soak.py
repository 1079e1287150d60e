"""Short forms of what `tests.soak` does for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak.front_end import FrontEndSoak
from tests.soak.models import Soak, serving
from tests.soak.requests import Options, soak
from tests.soak.scenarios import SCENARIOS
from tests.soak.streams import StreamSoak

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java


# The others differ in how workers take requests, of which each has tests of its own.
@pytest.mark.parametrize("server", ["single", "batches"])
def test_requests_are_answered_while_workers_die_and_loads_fail(server: str) -> None:
    options = Options(requests=400, connections=8, kill_every=1, accidents=4)
    assert soak(SCENARIOS[server], options).faults == []


@pytest.mark.parametrize(
    ("seconds", "kill_every"), [(6, 1.5), pytest.param(180, 3, marks=pytest.mark.slow)]
)
def test_streams_and_sessions_are_whole_or_honest_while_workers_die(
    tmp_path: Path, seconds: float, kill_every: float
) -> None:
    streams = StreamSoak(tmp_path)
    streams.run(seconds, clients=8, kill_every=kill_every)
    assert streams.faults == []
    assert streams.kills
    kinds = {verdict.partition(":")[0] for verdict in streams.count.verdicts}
    assert kinds == {"gone", "session", "socket", "stream"}


def test_models_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        models = Soak(server, tmp_path, loads=60, names=8)
        models.run(clients=8, kill_every=0.3)
        assert models.faults == [], server.log
        assert server.stop() == 0
        server.wait_gone()


def test_the_front_end_keeps_nothing_of_deployments_that_are_replaced(tmp_path: Path) -> None:
    front_end = FrontEndSoak(tmp_path)
    front_end.run(seconds=3, clients=8)
    assert front_end.faults == []
    assert front_end.deployments > 1
