"""Guessing gets slow for the guesser, and for nobody else."""

from gateway.web.throttle import (
    ENTRIES_MAX,
    FORGET_S,
    FREE_FAILURES_PER_ADDRESS,
    FREE_FAILURES_PER_PAIR,
    WAIT_FIRST_S,
    WAIT_MAX_S,
    Throttle,
)


def after(failures, *, name="admin", address="192.0.2.1"):
    throttle = Throttle()
    for number in range(failures):
        throttle.failed(name, address, now_s=float(number))
    return throttle, float(failures - 1)


def test_a_few_mistakes_are_free():
    throttle, now_s = after(FREE_FAILURES_PER_PAIR - 1)
    assert throttle.wait_s("admin", "192.0.2.1", now_s=now_s) == 0


def test_each_further_mistake_doubles_the_wait_up_to_a_limit():
    waits = []
    for more in range(12):
        throttle, now_s = after(FREE_FAILURES_PER_PAIR + more)
        waits.append(throttle.wait_s("admin", "192.0.2.1", now_s=now_s))
    assert waits[:3] == [WAIT_FIRST_S, WAIT_FIRST_S * 2, WAIT_FIRST_S * 4]
    assert waits[-1] == WAIT_MAX_S


def test_the_wait_runs_out():
    throttle, now_s = after(FREE_FAILURES_PER_PAIR)
    assert throttle.wait_s("admin", "192.0.2.1", now_s=now_s + WAIT_FIRST_S) == 0


def test_the_same_name_elsewhere_and_another_name_here_do_not_wait():
    throttle, now_s = after(FREE_FAILURES_PER_PAIR + 3)
    assert throttle.wait_s("admin", "192.0.2.2", now_s=now_s) == 0
    assert throttle.wait_s("bert", "192.0.2.1", now_s=now_s) == 0


def test_one_address_that_tries_many_names_waits_for_all():
    throttle = Throttle()
    for number in range(FREE_FAILURES_PER_ADDRESS):
        throttle.failed(f"name{number}", "192.0.2.1", now_s=0.0)
    assert throttle.wait_s("admin", "192.0.2.1", now_s=0.0) > 0


def test_a_success_forgives_the_name():
    throttle, now_s = after(FREE_FAILURES_PER_PAIR)
    throttle.succeeded("admin", "192.0.2.1")
    assert throttle.wait_s("admin", "192.0.2.1", now_s=now_s) == 0


def test_old_failures_are_forgotten():
    throttle, now_s = after(FREE_FAILURES_PER_PAIR + 5)
    throttle.failed("admin", "192.0.2.1", now_s=now_s + FORGET_S + 1)
    assert throttle.wait_s("admin", "192.0.2.1", now_s=now_s + FORGET_S + 1) == 0


def test_memory_stays_bounded():
    throttle = Throttle()
    for number in range(ENTRIES_MAX + 50):
        throttle.failed("admin", f"address {number}", now_s=0.0)
    assert len(throttle._failures) <= ENTRIES_MAX
