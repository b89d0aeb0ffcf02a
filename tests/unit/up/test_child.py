import pytest

from gateway.up.child import backoff_s


@pytest.mark.parametrize(
    ("ended_count", "delay_s"),
    [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (5000, 30)],
)
def test_the_wait_before_a_start_doubles_up_to_half_a_minute(ended_count, delay_s):
    assert backoff_s(ended_count) == delay_s
