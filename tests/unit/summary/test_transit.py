"""Where organs begin, in recordings of which it is known."""

import numpy as np
import pytest

from gateway.model import Organ
from workers.summary import transit
from workers.summary.features import FEATURES

COLOURS = {
    Organ.OUTSIDE: (150, 150, 145),
    Organ.OESOPHAGUS: (112, 122, 178),
    Organ.STOMACH: (82, 98, 165),
    Organ.SMALL_BOWEL: (62, 108, 168),
    Organ.COLON: (72, 110, 158),
}


def recording(lengths, seed=1):
    """Return graded features of organs of these lengths, with colours that vary from scene to
    scene."""
    rng = np.random.default_rng(seed)
    features = np.zeros(sum(lengths.values()), FEATURES)
    start = 0
    for organ, length in lengths.items():
        scenes = np.repeat(rng.normal(0, 6, (length // 15 + 1, 3)), 15, axis=0)[:length]
        tissue = np.clip(np.array(COLOURS[organ]) + scenes, 1, 255)
        some = features[start : start + length]
        some["tissue"] = tissue
        some["redness"] = np.maximum(1 - tissue[:, 1] / tissue[:, 2], 0)
        some["usable"] = organ is not Organ.OUTSIDE
        start += length
    features["decoded"], features["luminance"] = True, 0.4
    return features


LENGTHS = {
    Organ.OUTSIDE: 40, Organ.OESOPHAGUS: 30, Organ.STOMACH: 1500, Organ.SMALL_BOWEL: 7000,
    Organ.COLON: 3000,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_every_organ_is_found_within_two_per_cent_of_the_recording(seed):
    found = {one.organ: one for one in transit.segment(recording(LENGTHS, seed))}
    assert list(found) == list(Organ)
    true = dict(zip(LENGTHS, np.cumsum([0, *LENGTHS.values()]).tolist(), strict=False))
    for organ, first in true.items():
        assert abs(found[organ].first_frame - first) <= 0.02 * sum(LENGTHS.values())
        assert 0 < found[organ].confidence <= 1


def test_the_organs_cover_the_recording_without_a_gap():
    features = recording(LENGTHS)
    found = transit.segment(features)
    assert found[0].first_frame == 0
    assert [one.end for one in found] == [*(one.first_frame for one in found[1:]), len(features)]


def test_a_short_recording_is_not_cut_into_organs():
    assert transit.segment(recording({Organ.SMALL_BOWEL: 400})) == []


def test_one_colour_throughout_gives_no_certain_border():
    found = transit.segment(recording({Organ.SMALL_BOWEL: 6000}))
    assert all(one.confidence < 0.6 for one in found)
