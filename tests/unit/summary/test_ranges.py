"""A recording in ranges, as several workers would look at it."""

import numpy as np

from tests.kept_studies import KeptStudy
from tests.summaries import received, wrapped_study
from tests.unit.summary.pictures import jpeg, mucosa
from workers.observing import Observer
from workers.stored_recording import StoredRecording
from workers.summary.features import BATCH

SIDE = 128


def observed(study: KeptStudy, ranges):
    with StoredRecording(study.paths()) as recording:
        observer = Observer(recording, lambda: None)
        return np.concatenate([observer.observe(start, end) for start, end in ranges])


def test_ranges_give_together_what_one_piece_gives(tmp_path):
    """Frames of two sizes, one that cannot be decoded, parts that end anywhere."""
    streams = [jpeg(mucosa(n, depth=0.4, side=SIDE)) for n in range(75)]
    streams[31] = streams[31][:400]
    streams += [jpeg(mucosa(n, depth=0.4, side=256)) for n in range(10)]
    study = wrapped_study(tmp_path / "home", [received(streams[:31] + streams[32:])],
                          part_frames_max=20)  # fmt: skip
    whole = observed(study, [(0, None)])
    cut = observed(study, [(0, BATCH), (BATCH, 2 * BATCH), (2 * BATCH, None)])
    assert whole.tobytes() == cut.tobytes()
    assert whole["decoded"].all()
