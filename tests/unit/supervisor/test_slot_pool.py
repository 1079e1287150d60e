import resource

import pytest

from sagemaker_inference._ipc import slots
from sagemaker_inference._supervisor.slot_pool import SlotPool


def test_slots_are_handed_out_once_and_come_back():
    pool = SlotPool(4)
    assert pool.take(3) == [0, 1, 2]
    assert pool.free == 1
    assert pool.take(3) == [3]
    assert pool.take(1) == []
    pool.give_back([1, 2])
    assert pool.take(2) == [1, 2]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (768, 256),
        (500, 0),
        (1 << 20, slots.MAX_SLOTS),
        (resource.RLIM_INFINITY, slots.MAX_SLOTS),
    ],
)
def test_there_are_as_many_slots_as_descriptors_allow(monkeypatch, limit, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    assert SlotPool().size == expected
