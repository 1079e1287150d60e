"""Tasks of the emulated platform."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sagemaker_inference._emulator import platform

if TYPE_CHECKING:
    import pytest


def test_a_task_that_fails_is_logged_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(word: str) -> None:
        raise KeyError(word)

    asyncio.run(platform._alone(fail, ["lost"]))
    assert "fail" in caplog.text
    assert "KeyError: 'lost'" in caplog.text
