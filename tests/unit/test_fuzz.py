"""What reads bytes from outside raises only what it promises, in bounded time and memory.

A few hundred inputs each; tests/bench/fuzz.py runs a hundred thousand.
"""

import pytest

from tests import fuzzing

PARSERS = fuzzing.parsers()


@pytest.mark.parametrize("name", PARSERS)
def test_bent_input_is_refused_in_words_and_costs_little(name):
    found = fuzzing.run_parser(PARSERS[name], f"unit/{name}", 200)
    assert found.count == 200
    assert found.slowest_s < 5
    assert found.peak_bytes < 16 << 20
