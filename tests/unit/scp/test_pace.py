"""When a peer is too slow or too silent; times in seconds, any zero."""

from gateway.scp.pace import BYTES_PER_S_MIN, Pace


def pace() -> Pace:
    return Pace(idle_timeout_s=300, dimse_timeout_s=60, now_s=0)


def test_silence_while_nothing_is_under_way_is_allowed_for_the_idle_timeout():
    one = pace()
    assert one.judge(received=500, rested=500, now_s=10) == ""
    assert one.judge(received=500, rested=500, now_s=309) == ""
    assert "CAPSULE_IDLE_TIMEOUT_S" in one.judge(received=500, rested=500, now_s=311)


def test_a_message_begun_and_never_continued_ends_with_the_dimse_timeout():
    one = pace()
    assert one.judge(received=500, rested=500, now_s=10) == ""
    assert one.judge(received=510, rested=500, now_s=11) == ""
    assert one.judge(received=510, rested=500, now_s=69) == ""
    assert "CAPSULE_DIMSE_TIMEOUT_S" in one.judge(received=510, rested=500, now_s=72)


def test_what_comes_too_slowly_to_end_is_ended():
    """100 bytes a second, for ever: allowed is 60 s + 1 s for each KiB."""
    one, second = pace(), 0
    while not one.judge(received=second * 100, rested=0, now_s=second):
        second += 1
    assert 60 < second < 60 / (1 - 100 / BYTES_PER_S_MIN) + 2


def test_a_large_instance_at_the_lowest_rate_may_take_its_time():
    one = pace()
    for second in range(0, 100_000, 10):
        assert one.judge(received=second * BYTES_PER_S_MIN, rested=0, now_s=second) == ""


def test_many_slow_messages_each_in_time_are_fine_though_no_rest_is_ever_seen():
    """Each message of 500 bytes takes 50 s; what rested moves on with every one of them."""
    one = pace()
    for second in range(2000):
        received = second * 10 + 1
        assert one.judge(received=received, rested=received // 500 * 500, now_s=second) == ""


def test_an_excuse_starts_the_clock_anew():
    one = pace()
    one.judge(received=10, rested=0, now_s=0)
    one.excuse(59)
    assert one.judge(received=10, rested=0, now_s=118) == ""
    assert one.judge(received=10, rested=0, now_s=120) != ""
