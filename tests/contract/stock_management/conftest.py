"""Stock servers that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

from support.stock_server import Stock, absent, running, unloaded


@pytest.fixture(scope="module")
def shared_stock() -> Iterator[Stock]:
    with running("start") as stock:
        yield stock


@pytest.fixture
def stock(shared_stock: Stock) -> Iterator[Stock]:
    """A server with a port for each API and one model from its start, `start`."""
    yield shared_stock
    # After a load that failed, a model may be on its way out.
    while (names := shared_stock.names) != ["start"]:
        for name in names:
            if name != "start":
                found = shared_stock.ask(f"DELETE /models/{name}")
                assert found in (unloaded(name), absent(name))


@pytest.fixture(scope="module")
def shared_platform() -> Iterator[Stock]:
    with running(one_port=True, store="/", config="default_service_handler=model:handle\n") as made:
        yield made


@pytest.fixture
def platform(shared_platform: Stock) -> Iterator[Stock]:
    """A server as SageMaker has it: one port, no model at the start, paths of any folder."""
    yield shared_platform
    for name in shared_platform.names:
        shared_platform.ask(f"DELETE /models/{name}")
