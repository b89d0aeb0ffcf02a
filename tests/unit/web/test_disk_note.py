"""A disk that fills up is shown where an operator looks first, and only while it is so."""

import pytest

from gateway.ledger.transitions import disk
from gateway.model import DiskLevel


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (DiskLevel.LOW, "make room before instances are refused"),
        (DiskLevel.FULL, "every instance is refused (A700)"),
    ],
)
def test_the_list_of_studies_says_how_full_the_disk_is(admin, ledger, filling, level, words):
    assert words not in admin.page("/")
    for one in (level, DiskLevel.PLENTY):
        with ledger.transaction() as session:
            disk.change_level(session, one, free_bytes=12345, now=filling.now)
        assert (words in admin.page("/")) is (one is level)
