"""Pure: what one run measured, the medians of several, and which bars they meet."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ONE, FOUR = "1 association", "4 associations"
WINDOW = "window of 16"
NAGLE, NODELAY = "storescu, defaults", "storescu, TCP_NODELAY=1"
ORTHANC_SENDS, ORTHANC_SENDS_NODELAY = "Orthanc sends", "Orthanc sends, TCP_NODELAY=1"
LARGE = "1 large instance"
"""What is sent, and by whom."""

OURS, OURS_UNSYNCED = "ours, synced", "ours, sync off"
STORESCP, STORESCP_FORK = "storescp", "storescp --fork"
ORTHANC, PYNETDICOM = "Orthanc, default", "pynetdicom, fsync"
SINK, APPENDS = "null round trip", "synced append"
"""Who receives. The last two keep nothing, or hear nothing: together they are the bound."""

Key = tuple[str, str]
"""What is sent, who receives."""


@dataclass(frozen=True)
class Run:
    """One receiver, one time. cpu_s: of all its processes; rss_mb: peak of the largest, 10^6."""

    instances: int
    bytes: int
    seconds: float
    cpu_s: float | None = None
    rss_mb: float | None = None
    latencies_us: Sequence[float] = ()


@dataclass(frozen=True)
class Figures:
    """Medians over the runs of one receiver; rss_mb is the largest of all runs."""

    runs: int
    instances: int
    instances_per_s: float
    mb_per_s: float
    cpu_s_per_1000: float | None
    rss_mb: float | None
    p50_us: float | None
    p99_us: float | None


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of them lie (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of what was measured."""
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if measured else None


def figures(runs: Sequence[Run]) -> Figures:
    """Return the medians of at least one run."""
    rss_mb = [run.rss_mb for run in runs if run.rss_mb is not None]
    return Figures(
        runs=len(runs),
        instances=runs[0].instances,
        instances_per_s=statistics.median(run.instances / run.seconds for run in runs),
        mb_per_s=statistics.median(run.bytes / run.seconds / 1e6 for run in runs),
        cpu_s_per_1000=middle(
            [None if run.cpu_s is None else run.cpu_s / run.instances * 1000 for run in runs]
        ),
        rss_mb=max(rss_mb, default=None),
        p50_us=middle([percentile(run.latencies_us, 0.50) for run in runs]),
        p99_us=middle([percentile(run.latencies_us, 0.99) for run in runs]),
    )


@dataclass(frozen=True)
class Verdict:
    """value: None if something it needs was not measured; then met is None too."""

    words: str
    bar: str
    value: float | None
    met: bool | None


RATIOS: Sequence[tuple[Key, Key, float]] = (
    ((ONE, OURS), (ONE, ORTHANC), 5),
    ((ONE, OURS), (ONE, PYNETDICOM), 8),
    ((ONE, OURS), (ONE, STORESCP), 0.8),
    ((WINDOW, OURS), (ONE, STORESCP), 2),
    ((ONE, OURS_UNSYNCED), (ONE, STORESCP), 2.5),
    ((FOUR, OURS), (FOUR, ORTHANC), 7),
    ((FOUR, OURS), (FOUR, STORESCP_FORK), 0.9),
    ((NAGLE, OURS), (NAGLE, STORESCP), 30),
    ((NAGLE, OURS), (NAGLE, ORTHANC), 30),
    ((NODELAY, OURS), (NODELAY, STORESCP), 0.95),
    ((ORTHANC_SENDS, OURS), (ORTHANC_SENDS, STORESCP), 0.95),
    ((ORTHANC_SENDS_NODELAY, OURS), (ORTHANC_SENDS_NODELAY, STORESCP), 0.95),
)
"""Instances/s of the first, divided by those of the second, at least."""

BOUND_SHARE = 0.8
CPU_S_PER_1000, CPU_OF = 0.2, ((ONE, OURS), (WINDOW, OURS), (FOUR, OURS))
RSS_MB = 150


def bound(null_trips_per_s: float, appends_per_s: float) -> float:
    """Return the instances/s nobody can pass who syncs each before answering it."""
    return 1 / (1 / null_trips_per_s + 1 / appends_per_s)


def verdicts(measured: Mapping[Key, Figures]) -> list[Verdict]:
    """Hold the medians against every bar."""
    return [
        *(_ratio(measured, *bar) for bar in RATIOS),
        _share_of_bound(measured),
        *(_cpu(measured, key) for key in CPU_OF),
        _rss(measured),
    ]


def _ratio(measured: Mapping[Key, Figures], ours: Key, theirs: Key, at_least: float) -> Verdict:
    words = f"{_name(ours)} / {_name(theirs)}"
    value = None
    if ours in measured and theirs in measured:
        value = measured[ours].instances_per_s / measured[theirs].instances_per_s
    return _verdict(words, f"at least {at_least:g}", value, value and value >= at_least)


def _share_of_bound(measured: Mapping[Key, Figures]) -> Verdict:
    keys = [(ONE, OURS), (ONE, SINK), (ONE, APPENDS)]
    value = None
    if all(key in measured for key in keys):
        ours, null, append = (measured[key].instances_per_s for key in keys)
        value = ours / bound(null, append)
    words = f"{_name((ONE, OURS))} / 1/(null round trip + synced append)"
    return _verdict(words, f"at least {BOUND_SHARE:g}", value, value and value >= BOUND_SHARE)


def _cpu(measured: Mapping[Key, Figures], key: Key) -> Verdict:
    value = measured[key].cpu_s_per_1000 if key in measured else None
    words = f"CPU s per 1,000, {_name(key)}"
    return _verdict(words, f"under {CPU_S_PER_1000:g}", value, value and value < CPU_S_PER_1000)


def _rss(measured: Mapping[Key, Figures]) -> Verdict:
    """Only ours as it is meant to run; whatever was sent."""
    peaks = [one.rss_mb for key, one in measured.items() if key[1] == OURS and one.rss_mb]
    value = max(peaks, default=None)
    return _verdict(
        f"peak RSS of a process in MB, {OURS}, all runs", f"under {RSS_MB}",
        value, value and value < RSS_MB,
    )  # fmt: skip


def _verdict(words: str, bar: str, value: float | None, met: object) -> Verdict:
    return Verdict(words, bar, value, None if value is None else bool(met))


def _name(key: Key) -> str:
    return f"{key[1]} ({key[0]})"
