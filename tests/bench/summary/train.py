"""Trains the network of workers.summary.spots on composed studies.

    python -m tests.bench.summary.train --out workers/summary/spots.npz STUDY ...

Each place of a frame is an example: within the circle of a finding (or landmark) it is one, well
outside it is none. Half of the second round's examples of none are those the first round took
for findings. Only numpy; the same studies and seed give the same weights.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.bench.summary.composed import LANDMARKS, ComposedStudy
from workers.summary import spots
from workers.summary.features import BATCH as FRAMES_AT_ONCE
from workers.summary.features import FeaturePass, Reduction, look_around
from workers.summary.spots import Weights

HIDDEN, BATCH, EPOCHS, RATE, DECAY = 32, 512, 4, 4e-3, 1e-3
NOISE = 0.4  # of what is usual, added to every measure: other capsules differ
NONE_A_FRAME, SPOTS_A_FRAME = 6, 10
SPOT, LANDMARK, VEIL = 1, 2, 3
WEIGHTS = {SPOT: 0.3, LANDMARK: 0.1, VEIL: 0.3}
"""Of all examples of a kind, against all that are none."""


class Examples:
    """Places of one study: measures in its own units, what they are, how much each counts."""

    def __init__(self, study: ComposedStudy, rng: np.random.Generator) -> None:
        reduction = Reduction.of(study.side, study.side)
        some = np.linspace(0, len(study) - 1, 200).astype(int)
        images = [reduction.decode(study.read(one)) for one in some]
        surroundings = look_around(reduction, [one for one in images if one is not None])
        self._reduction = reduction
        self._pass = FeaturePass(reduction, surroundings)
        self._usual, self._spread = surroundings.usual, surroundings.spread
        self._study, self._rng = study, rng
        row, column = np.divmod(self._pass.finder.places, spots.GRID)
        step = study.side / spots.GRID
        self._at = np.stack([column, row], axis=1) * step + step / 2
        numbers, counts = np.unique(study.finding, return_counts=True)
        self._length = dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    def drawn(self, keep: float, weights: Weights | None) -> Iterator[tuple]:
        """Yield (measures, kind, weight); kind 0: none of SPOT, LANDMARK, VEIL."""
        study, rng = self._study, self._rng
        wanted = np.flatnonzero((study.finding > 0) | (rng.random(len(study)) < keep))
        for start in range(0, len(wanted), FRAMES_AT_ONCE):
            some = wanted[start : start + FRAMES_AT_ONCE]
            images = [self._reduction.decode(study.read(int(one))) for one in some]
            described = self._pass.describe(images)
            for index, values in zip(some.tolist(), described, strict=True):
                measured = (spots.measures(values) - self._usual) / self._spread
                yield from self._of_frame(index, measured, weights)

    def _of_frame(self, index: int, measured: np.ndarray, weights: Weights | None) -> Iterator:
        study, rng = self._study, self._rng
        number = int(study.finding[index])
        if study.veiled[index] and not number:
            taken = rng.choice(len(measured), NONE_A_FRAME)
            yield measured[taken], np.full(NONE_A_FRAME, VEIL), np.ones(NONE_A_FRAME)
            return
        if study.bad[index]:
            return
        column, row, radius = study.circle[index]
        away = np.hypot(*(self._at - (column, row)).T) if number else np.full(len(measured), 1e6)
        radius = max(float(radius), 8.0)
        yield self._none(measured, np.flatnonzero(away > 1.7 * radius), weights)
        inside = np.flatnonzero(away < max(0.6 * radius, 6.0))
        if len(inside):
            inside = rng.choice(inside, min(SPOTS_A_FRAME, len(inside)), replace=False)
            kind = LANDMARK if study.kind[index] in LANDMARKS else SPOT
            share = 1 / len(inside) / self._length[number] ** 0.7
            yield measured[inside], np.full(len(inside), kind), np.full(len(inside), share)

    def _none(self, measured: np.ndarray, places: np.ndarray, weights: Weights | None) -> tuple:
        if not len(places):
            taken = places
        elif weights is None:
            taken = self._rng.choice(places, min(NONE_A_FRAME, len(places)), replace=False)
        else:
            odds = weights(measured[places].astype(np.float32))[:, 0]
            odd = places[np.argsort(-odds, kind="stable")[:40]]
            half = NONE_A_FRAME // 2
            taken = np.concatenate([self._rng.choice(odd, half), self._rng.choice(places, half)])
        return measured[taken], np.zeros(len(taken), int), np.ones(len(taken))


def gather(studies: list[Examples], keep: float, weights: Weights | None) -> tuple:
    rows = [row for study in studies for row in study.drawn(keep, weights)]
    measured, kind, share = (np.concatenate([row[part] for row in rows]) for part in range(3))
    return measured.astype(np.float32), kind, share


def fit(measured: np.ndarray, kind: np.ndarray, share: np.ndarray, seed: int = 0) -> Weights:
    """Minimise the weighted logistic loss by Adam with a falling rate."""
    rng = np.random.default_rng(seed)
    weight = share.copy()
    for one, wanted in WEIGHTS.items():
        weight[kind == one] *= (
            wanted * weight[kind == 0].sum() / max(share[kind == one].sum(), 1e-9)
        )
    weight = np.minimum(weight / weight.mean(), 60).astype(np.float32)
    target = np.stack([kind == one for one in WEIGHTS], axis=1).astype(np.float32)
    size = measured.shape[1]
    values = [
        rng.normal(0, (2 / size) ** 0.5, (size, HIDDEN)), np.zeros(HIDDEN),
        rng.normal(0, 0.1, (HIDDEN, len(WEIGHTS))), np.zeros(len(WEIGHTS)),
    ]  # fmt: skip
    values = [one.astype(np.float32) for one in values]
    mean, square = ([np.zeros_like(one) for one in values] for _ in range(2))
    steps, step = EPOCHS * (len(measured) // BATCH), 0
    measured = np.clip(measured, -10, 10)
    for _ in range(EPOCHS):
        order = rng.permutation(len(measured))
        for start in range(0, len(measured) - BATCH + 1, BATCH):
            some = order[start : start + BATCH]
            step += 1
            shaken = measured[some] + NOISE * rng.standard_normal((BATCH, size), np.float32)
            gradients = _gradients(values, shaken, target[some], weight[some])
            rate = RATE * (0.51 + 0.49 * np.cos(np.pi * step / steps))
            for one, gradient in enumerate(gradients):
                mean[one] = 0.9 * mean[one] + 0.1 * gradient
                square[one] = 0.999 * square[one] + 0.001 * gradient**2
                change = mean[one] / (1 - 0.9**step)
                scale = np.sqrt(square[one] / (1 - 0.999**step)) + 1e-8
                values[one] = (values[one] - rate * change / scale).astype(np.float32)
    return Weights(*values)


def _gradients(values: list, x: np.ndarray, target: np.ndarray, weight: np.ndarray) -> list:
    first, first_bias, second, second_bias = values
    hidden = np.maximum(x @ first + first_bias, 0)
    odds = np.clip(hidden @ second + second_bias, -30, 30)
    error = (1 / (1 + np.exp(-odds)) - target) * weight[:, None] / len(x)
    back = (error @ second.T) * (hidden > 0)
    return [
        x.T @ back + DECAY * first, back.sum(axis=0),
        hidden.T @ error + DECAY * second, error.sum(axis=0),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=float, default=0.5, help="of the frames without a finding")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    studies = [Examples(ComposedStudy(one), rng) for one in arguments.studies]
    first = gather(studies, arguments.keep, None)
    second = gather(studies, arguments.keep, fit(*first))
    both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    weights = fit(*both)
    np.savez(arguments.out, **vars(weights))
    print(f"{len(both[0])} examples, {np.bincount(both[1]).tolist()}")


if __name__ == "__main__":
    main()
