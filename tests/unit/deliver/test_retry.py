import pytest

from gateway.settings import Settings
from workers.deliver.retry import delay_s

SETTINGS = Settings(retry_base_s=5, retry_max_s=3600)


@pytest.mark.parametrize(
    ("tries", "longest"), [(0, 5), (1, 5), (2, 10), (3, 20), (8, 640), (11, 3600), (10_000, 3600)]
)
def test_the_pause_doubles_up_to_its_limit(tries, longest):
    assert delay_s(tries, SETTINGS, random=1) == longest


@pytest.mark.parametrize("random", [0, 0.25, 0.5, 0.999])
def test_chance_shortens_the_pause_by_half_at_most(random):
    assert 10 <= delay_s(3, SETTINGS, random=random) <= 20


def test_two_transfers_that_failed_together_do_not_come_back_together():
    assert delay_s(3, SETTINGS, random=0.1) != delay_s(3, SETTINGS, random=0.2)
