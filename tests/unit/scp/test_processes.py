"""How many processes receive, and how soon a dead one is replaced."""

import pytest

from gateway.scp.processes import process_count, restart_delay_s
from gateway.settings import Settings


@pytest.mark.parametrize(("cores", "count"), [(1, 2), (2, 2), (4, 4), (64, 8)])
def test_one_process_per_core_within_limits(cores, count):
    assert process_count(Settings(), cores) == count


def test_the_number_that_is_set_is_taken():
    assert process_count(Settings(scp_processes=1), cores=64) == 1


def test_a_first_death_costs_no_time_and_the_next_ones_ever_more():
    assert [restart_delay_s(n) for n in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]
