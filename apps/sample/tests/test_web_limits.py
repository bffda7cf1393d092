"""How much one may ask for. Property: a rate limit is a bucket that fills and runs empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample.web.limits import Limits, RateLimit

WAITS = st.lists(st.integers(0, 30), max_size=60)


def admitted(limit, address="a"):
    try:
        limit.admit(address)
    except ValueError:
        return False
    return True


@given(waits=WAITS, per_minute=st.sampled_from([1, 2, 5, 12, 60]))
def test_it_is_a_bucket_of_a_minute_that_each_request_fills_by_its_share(waits, per_minute):
    now, level, limit = 0, 0, RateLimit(per_minute, clock=lambda: now)
    for wait in waits:  # whole seconds, and shares of whole seconds: nothing is rounded
        now, level = now + wait, max(0, level - wait)
        fits = level + 60 // per_minute <= 60
        assert admitted(limit) == fits
        level += 60 // per_minute * fits


@pytest.mark.parametrize("per_minute", [7, 900])
def test_a_minutes_requests_may_all_come_at_once(per_minute):
    limit = RateLimit(per_minute, clock=lambda: 1e6)
    assert [admitted(limit) for _ in range(per_minute + 1)] == [True] * per_minute + [False]


def test_addresses_do_not_wait_for_each_other():
    limit = RateLimit(1, clock=lambda: 0.0)
    assert admitted(limit, "a")
    assert admitted(limit, "b")
    assert not admitted(limit, "a")


def test_one_who_is_refused_is_told_how_long_to_wait():
    now = 0.0
    limit = RateLimit(2, clock=lambda: now)
    limit.admit("a")
    limit.admit("a")
    with pytest.raises(ValueError, match=r"at most 2 of these a minute; the next one in 30\.0 s"):
        limit.admit("a")
    now = 30.0
    limit.admit("a")


def test_an_address_is_forgotten_once_its_bucket_is_empty():
    now = 0.0
    limit = RateLimit(60, clock=lambda: now)
    limit.admit("a")
    now = 2.0
    limit.admit("b")
    assert list(limit._empty_at) == ["b"]


def test_a_long_prompt_is_refused():
    limits = Limits(characters=3)
    limits.check_length("abc")
    with pytest.raises(ValueError, match="may have 3 characters here, this has 4"):
        limits.check_length("abcd")
