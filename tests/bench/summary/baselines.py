"""What the summary is measured against: four ways to choose frames that look at less."""

import numpy as np

from workers.summary.features import Features

_ROUNDS, _FITTED_MAX = 12, 4000


def uniform(features: Features, budget: int, seed: int) -> np.ndarray:
    """Every n-th frame, from a random start: the mean over starts has no luck in it."""
    step = len(features) / budget
    start = np.random.default_rng(seed).random() * step
    return (start + step * np.arange(budget)).astype(np.int64)


def random(features: Features, budget: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(len(features), budget, replace=False))


def k_means(features: Features, budget: int, seed: int) -> np.ndarray:
    """Colour histograms in `budget` clusters; of each the frame nearest to its centre.

    The centres are fitted to a sample, as the usual implementations do for so many frames.
    """
    rng = np.random.default_rng(seed)
    points = np.sqrt(features["chroma"].astype(np.float32) / 255)  # Hellinger distance
    fitted = points[rng.choice(len(points), min(_FITTED_MAX, len(points)), replace=False)]
    centres = fitted[rng.choice(len(fitted), budget, replace=False)].copy()
    for _ in range(_ROUNDS):
        nearest = _distances(fitted, centres).argmin(axis=1)
        for one in range(budget):
            members = fitted[nearest == one]
            if len(members):
                centres[one] = members.mean(axis=0)
    best = np.full(budget, np.inf)
    chosen = np.zeros(budget, np.int64)
    for start in range(0, len(points), 2000):
        distances = _distances(points[start : start + 2000], centres)
        closest = distances.argmin(axis=0)
        value = distances[closest, np.arange(budget)]
        chosen = np.where(value < best, start + closest, chosen)
        best = np.minimum(value, best)
    return np.unique(chosen)


def scene_change(features: Features, budget: int, seed: int) -> np.ndarray:
    """The frames after the `budget` largest changes of colour and layout, the first included."""
    del seed
    layout = features["layout"].reshape(len(features), -1).astype(np.int16)
    chroma = features["chroma"].astype(np.int16)
    change = np.abs(np.diff(layout, axis=0)).mean(axis=1) / 255
    change += np.abs(np.diff(chroma, axis=0)).sum(axis=1) / 510
    largest = np.argsort(-change, kind="stable")[: budget - 1] + 1
    return np.unique(np.concatenate([[0], largest]))


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return squares - 2 * points @ centres.T


BASELINES = {
    "uniform": uniform, "random": random, "k-means": k_means, "scene change": scene_change,
}  # fmt: skip
