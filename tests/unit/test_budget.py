"""What a request may cost."""

import pytest

from sagemaker_inference import _budget
from sagemaker_inference._budget import Budget
from sagemaker_inference.errors import PayloadTooLargeError

MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_request():
    _budget.end()
    yield
    _budget.end()


def test_packed_data_may_become_64_mib_or_three_times_what_was_sent():
    small, large = Budget(10), Budget(100 * MIB)
    small.unpack(64 * MIB, "gzip")
    with pytest.raises(PayloadTooLargeError, match="gzip body of 10 bytes unpacks to 67108865 by"):
        small.unpack(1, "gzip")
    large.unpack(300 * MIB, "gzip")
    assert large.unpackable == 0
    assert large.received == 300 * MIB


def test_values_may_take_64_mib_and_20_times_the_body():
    budget = Budget(MIB)
    budget.take(84 * MIB, "JSON")
    with pytest.raises(PayloadTooLargeError, match="needs 88080385 bytes of memory, over the limi"):
        budget.take(1, "JSON")


def test_unpacked_data_counts_as_body_up_to_25_mib():
    budget = Budget(1000)
    budget.unpack(60 * MIB, "gzip")
    assert budget.can_take(504 * MIB)
    assert not budget.can_take(504 * MIB + 1)


def test_until_a_body_is_valid_it_may_take_224_mib_and_nothing_is_counted():
    budget = Budget(4 * MIB)
    for _ in range(3):
        budget.attempt(220 * MIB, "CSV")
    with pytest.raises(PayloadTooLargeError, match="to be checked, over the limit of 234881024"):
        budget.attempt(220 * MIB + 1, "CSV")
    Budget(100 * MIB).attempt(800 * MIB, "CSV")


def test_parts_of_a_form_share_what_may_be_taken_in_vain():
    budget = Budget(MIB)
    budget.is_divided = True
    budget.take(20 * MIB, "JSON")
    assert not budget.can_attempt(204 * MIB)
    assert budget.steps == 20 * MIB // 128


def test_steps_are_a_million_or_one_for_25_bytes():
    budget = Budget(10)
    budget.step(1_000_000, "NPZ")
    with pytest.raises(PayloadTooLargeError, match="NPZ body of 10 bytes takes 1000001 steps"):
        budget.step(1, "NPZ")
    Budget(100 * MIB).step(4 * MIB, "NPZ")


def test_a_codec_called_alone_has_a_budget_of_its_own():
    assert _budget.of(b"abc").sent == 3
    assert _budget.if_large(b"abc") is None
    large = _budget.if_large(bytes(_budget.SMALL + 1))
    assert large is not None
    assert large.sent == _budget.SMALL + 1


def test_codecs_share_the_budget_of_a_request_until_it_ends():
    budget = _budget.begin(100)
    assert _budget.of(b"abc") is budget
    assert _budget.if_large(b"abc") is None
    budget.is_divided = True
    assert _budget.if_large(b"abc") is budget
    with _budget.shared(b"abc") as shared:
        assert shared is budget
    _budget.end()
    assert _budget.of(b"abc") is not budget


def test_a_body_larger_than_the_request_is_not_part_of_it():
    budget = _budget.begin(100)
    assert _budget.of(bytes(101)) is not budget
    budget.unpack(200, "gzip")
    assert _budget.of(bytes(101)) is budget


def test_the_parts_of_a_body_read_alone_share_a_budget():
    with _budget.shared(b"abc") as budget:
        assert _budget.of(b"a") is budget
    assert _budget.of(b"a") is not budget


def test_only_large_requests_have_memory_to_give_back():
    assert not Budget(8 * MIB).is_large
    assert Budget(8 * MIB + 1).is_large
