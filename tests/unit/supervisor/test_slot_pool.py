from sagemaker_inference._supervisor.slot_pool import SlotPool


def test_slots_are_handed_out_once_and_come_back():
    pool = SlotPool(4)
    assert pool.take(3) == [0, 1, 2]
    assert pool.free == 1
    assert pool.take(3) == [3]
    assert pool.take(1) == []
    pool.give_back([1, 2])
    assert pool.take(2) == [1, 2]
