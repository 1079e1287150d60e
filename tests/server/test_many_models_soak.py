"""Many models come and go while workers die; `model_soak` has the long form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model_soak import Soak, serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java


def test_models_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        soak = Soak(server, tmp_path, loads=60, names=8)
        soak.run(clients=8, kill_every=0.3)
        assert soak.faults == [], server.log
        assert server.stop() == 0
        server.wait_gone()
