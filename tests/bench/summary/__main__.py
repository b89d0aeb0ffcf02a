"""Measures the summary on composed studies and on labelled sequences.

    python -m tests.bench.summary [--cache DIR] [--sequences DIR] STUDY ...

docs/summary.md says how the studies were made, and which of them settings were tuned on.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from tests.bench.summary import scores
from tests.bench.summary.baselines import BASELINES
from tests.bench.summary.composed import ComposedStudy
from tests.bench.summary.labelled import report as labelled_report
from tests.bench.summary.passes import kept
from tests.bench.summary.scores import LENGTHS, Score, pooled, score
from workers.summary import transit
from workers.summary.selection import select

BUDGETS = (25, 100, 400, 800)
BASELINE_SEEDS = 5
OURS = "summary"

Results = dict[tuple[str, int], list[Score]]


def measure(study: ComposedStudy, cache: Path | None, results: Results) -> dict:
    features, rate = kept(study, cache)
    elapsed_ms = np.arange(len(features)) * 250
    found = transit.segment(features)
    bounds = {}
    for budget in BUDGETS:
        selection = select(features, elapsed_ms, budget=budget, organs=transit.spans(found))
        chosen = np.array([choice.frame_index for choice in selection.choices])
        results.setdefault((OURS, budget), []).append(score(study, chosen))
        bounds[budget] = selection.bound_frames
        for name, baseline in BASELINES.items():
            seeds = BASELINE_SEEDS if name in ("uniform", "random") else 1
            for seed in range(seeds):
                chosen = baseline(features, budget, seed)
                results.setdefault((name, budget), []).append(score(study, chosen))
    return {
        "study": study.name,
        "frames": len(features),
        "frames_per_cpu_s": round(rate),
        "bounds": bounds,
        "borders_found": [one.first_frame for one in found],
        "borders_true": [first for first, _ in study.organs.values()],
    }


def recall_table(results: Results) -> list[str]:
    lines = [
        "| budget | method | all findings | 95 % interval | of 10 frames and more | landmarks"
        " | against uniform |",
        "|---|---|---|---|---|---|---|",
    ]
    for budget in BUDGETS:
        uniform = pooled(results["uniform", budget], scores.is_finding)
        for name in (OURS, *BASELINES):
            some = results[name, budget]
            every = pooled(some, scores.is_finding)
            low, high = scores.interval(some, scores.is_finding)
            lines.append(
                f"| {budget} | {name} | {every:.0%} | {low:.0%} to {high:.0%}"
                f" | {pooled(some, scores.is_long):.0%} | {pooled(some, scores.is_landmark):.0%}"
                f" | {every / uniform:.1f} |"
            )
    return lines


def quality_table(results: Results) -> list[str]:
    lines = [
        "| budget | method | unusable | near duplicates | longest gap, mean / worst"
        " | organs shown |",
        "|---|---|---|---|---|---|",
    ]
    for budget in BUDGETS:
        for name in (OURS, *BASELINES):
            some = results[name, budget]
            gaps = [one.longest_gap for one in some]
            lines.append(
                f"| {budget} | {name} | {np.mean([one.unusable_share for one in some]):.1%}"
                f" | {np.mean([one.duplicate_share for one in some]):.1%}"
                f" | {np.mean(gaps):.0f} / {max(gaps)}"
                f" | {np.mean([one.organs_share for one in some]):.0%} |"
            )
    return lines


def class_table(results: Results) -> list[str]:
    """Recall of the summary by class and by length; in brackets how many there are."""
    kinds = sorted({one.kind for one in (f for s in results[OURS, BUDGETS[0]] for f in s.found)})
    heads = [str(budget) for budget in BUDGETS]
    lines = ["| what | number | " + " | ".join(heads) + " |", "|---" * (2 + len(heads)) + "|"]
    groups = [(kind, lambda one, kind=kind: one.kind == kind) for kind in kinds]
    for low, high in LENGTHS:
        name = f"{low} to {high} frames" if high < 10**6 else f"{low} frames and more"
        groups.append(
            (
                name,
                lambda one, low=low, high=high: (
                    not one.is_landmark and low <= len(one.frames) <= high
                ),
            )
        )
    for real in (True, False):
        name = "pasted from a real still" if real else "painted"
        groups.append((name, lambda one, real=real: not one.is_landmark and one.real == real))
    for name, wanted in groups:
        count = sum(one.recall(wanted)[1] for one in results[OURS, BUDGETS[0]])
        cells = [f"{pooled(results[OURS, budget], wanted):.0%}" for budget in BUDGETS]
        lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", type=Path)
    parser.add_argument("--cache", type=Path, help="where features are kept between runs")
    parser.add_argument("--sequences", type=Path, help="folder with real labelled sequences")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results: Results = {}
    for directory in arguments.studies:
        about = measure(ComposedStudy(directory), arguments.cache, results)
        print(json.dumps(about), flush=True)
    if results:
        for table in (recall_table, quality_table, class_table):
            print("\n" + "\n".join(table(results)))
    if arguments.sequences:
        print("\n" + "\n".join(labelled_report(arguments.sequences)))


if __name__ == "__main__":
    main()
