"""What one association may hold in memory, however many instances are under way."""

from gateway.packs.reading import HELD_BYTES_MAX
from gateway.packs.writer import STREAM_WRITE_BYTES
from gateway.scp.held import (
    GATHERED_BYTES_MAX,
    HELD_FREELY_BYTES,
    HELD_TOGETHER_BYTES_MAX,
    HeldBytes,
    Share,
)


def fill(held: HeldBytes, count: int) -> list[int]:
    """Let `count` instances grow in turn, each as far as it may; returns how far."""
    sizes, shares = [0] * count, [Share(held) for _ in range(count)]
    growing = set(range(count))
    while growing:
        for number in sorted(growing):
            if shares[number].grow(sizes[number] + 65_536):
                sizes[number] += 65_536
            else:
                growing.discard(number)
    return sizes


def test_one_instance_is_held_up_to_the_limit_of_one():
    assert fill(HeldBytes(), 1) == [HELD_BYTES_MAX]


def test_instances_in_all_contexts_stay_within_a_fixed_sum():
    assert sum(fill(HeldBytes(), 128)) <= HELD_TOGETHER_BYTES_MAX + 128 * HELD_FREELY_BYTES


def test_the_more_instances_are_written_as_they_arrive_the_less_each_may_gather():
    held = HeldBytes()
    shares = [Share(held) for _ in range(128)]
    gathered = []
    for share in shares:
        share.begin_stream()
        gathered.append(held.gather_bytes)
    assert gathered[0] == STREAM_WRITE_BYTES
    assert max(count * each for count, each in enumerate(gathered, 1)) <= GATHERED_BYTES_MAX
    for share in shares:
        share.end()
    assert held.gather_bytes == STREAM_WRITE_BYTES


def test_what_is_given_back_can_be_held_by_others():
    held = HeldBytes()
    first = [Share(held) for _ in range(4)]
    assert all(share.grow(HELD_BYTES_MAX) for share in first)
    assert not Share(held).grow(HELD_BYTES_MAX)
    first[0].end()
    first[0].end()  # twice is once
    assert Share(held).grow(HELD_BYTES_MAX)
    assert not Share(held).grow(HELD_BYTES_MAX)
