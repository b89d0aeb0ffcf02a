"""Features of a study, computed once and kept, so that choosing can be tried again at once."""

import hashlib
import time
from pathlib import Path

import numpy as np

from tests.bench.summary.composed import ComposedStudy
from workers.observing import learned
from workers.summary import features as features_module
from workers.summary import quality
from workers.summary.content_area import SAMPLES_MAX
from workers.summary.features import BATCH, FEATURES, FeaturePass, Features, Reduction, look_around

_SOURCES = ("features.py", "spots.py", "content_area.py", "spots.npz")


def observe(study: ComposedStudy) -> Features:
    """Return ungraded features of every frame."""
    reduction = Reduction.of(study.side, study.side)
    spread = np.unique(np.linspace(0, len(study) - 1, SAMPLES_MAX).astype(int))
    samples = [reduction.decode(study.read(int(one))) for one in spread]
    surroundings = look_around(reduction, [one for one in samples if one is not None])
    looking = FeaturePass(reduction, surroundings, learned())
    features = np.zeros(len(study), FEATURES)
    for start in range(0, len(study), BATCH):
        stop = min(start + BATCH, len(study))
        features[start:stop] = looking.observe([study.read(one) for one in range(start, stop)])
    return features


def kept(study: ComposedStudy, cache: Path | None) -> tuple[Features, float]:
    """Return graded features, and frames per CPU second of the pass (0 if it was kept)."""
    folder = Path(features_module.__file__).parent
    sources = b"".join((folder / one).read_bytes() for one in _SOURCES if (folder / one).is_file())
    code = hashlib.sha256(sources).hexdigest()[:12]
    path = None if cache is None else cache / f"{study.name}-{code}.npy"
    rate = 0.0
    if path is not None and path.is_file():
        features = np.load(path)
    else:
        learned()
        start = time.process_time()
        features = observe(study)
        rate = len(study) / (time.process_time() - start)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, features)
    quality.grade(features)
    return features, rate
