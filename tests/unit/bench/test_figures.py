"""The benchmark's arithmetic: medians, the bound, and which bars are met."""

import pytest

from tests.bench.ingest import figures, report
from tests.bench.ingest.figures import Run


def measured(**rates: float) -> dict[figures.Key, figures.Figures]:
    names = {"ours": figures.OURS, "storescp": figures.STORESCP, "orthanc": figures.ORTHANC,
             "sink": figures.SINK, "appends": figures.APPENDS}  # fmt: skip
    return {
        (figures.ONE, names[name]): figures.figures([Run(1000, 25_000_000, 1000 / rate)])
        for name, rate in rates.items()
    }


def verdict(verdicts: list[figures.Verdict], *words: str) -> figures.Verdict:
    (one,) = (one for one in verdicts if all(word in one.words for word in words))
    return one


def test_rates_are_medians_and_the_peak_is_the_largest():
    runs = [
        Run(1000, 25_000_000, seconds, cpu_s=cpu_s, rss_mb=rss_mb, latencies_us=[us] * 10)
        for seconds, cpu_s, rss_mb, us in ((1, 0.1, 90, 70), (4, 0.3, 120, 90), (2, 0.2, 80, 300))
    ]
    one = figures.figures(runs)
    assert (one.instances_per_s, one.mb_per_s) == (500, 12.5)
    assert (one.cpu_s_per_1000, one.rss_mb) == (0.2, 120)
    assert (one.p50_us, one.p99_us) == (90, 90)


def test_what_was_not_measured_stays_unknown():
    one = figures.figures([Run(10, 1000, 1)])
    assert one.cpu_s_per_1000 is one.rss_mb is one.p50_us is one.p99_us is None
    row = report.tables({(figures.ONE, figures.OURS): one}).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[5:-1]] == ["-"] * 4


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)]
)  # fmt: skip
def test_a_percentile_is_one_of_the_values(share, value):
    assert figures.percentile(range(100, 0, -1), share) == value
    assert figures.percentile([], share) is None


def test_the_bound_is_a_round_trip_and_an_append_one_after_the_other():
    # 100 us + 125 us
    assert figures.bound(10_000, 8_000) == pytest.approx(1 / 225e-6)


def test_a_bar_is_met_from_its_value_on():
    exactly = figures.verdicts(measured(ours=800, storescp=1000, orthanc=160))
    assert verdict(exactly, "/ storescp (1 association)", "synced (1").met is True
    assert verdict(exactly, "/ Orthanc, default (1 association)").value == pytest.approx(5)
    below = figures.verdicts(measured(ours=799, storescp=1000))
    assert verdict(below, "/ storescp (1 association)", "synced (1").met is False


def test_a_bar_without_its_figures_is_not_measured_rather_than_missed():
    verdicts = figures.verdicts(measured(ours=800))
    assert verdict(verdicts, "/ Orthanc, default (1 association)") == figures.Verdict(
        "ours, synced (1 association) / Orthanc, default (1 association)", "at least 5", None, None
    )
    assert "not measured" in report.bars(verdicts)


def test_the_share_of_the_bound_needs_both_of_its_parts():
    verdicts = figures.verdicts(measured(ours=3600, sink=10_000, appends=8_000))
    assert verdict(verdicts, "null round trip").value == pytest.approx(0.81)
    assert verdict(verdicts, "null round trip").met is True
    assert verdict(figures.verdicts(measured(ours=3600, sink=1)), "null round trip").met is None


def test_cpu_and_memory_must_stay_below():
    key = (figures.ONE, figures.OURS)
    good = {key: figures.figures([Run(1000, 1, 1, cpu_s=0.19, rss_mb=149)])}
    bad = {key: figures.figures([Run(1000, 1, 1, cpu_s=0.20, rss_mb=150)])}
    for words in (("CPU", "(1 association)"), ("peak RSS",)):
        assert verdict(figures.verdicts(good), *words).met is True
        assert verdict(figures.verdicts(bad), *words).met is False


def test_memory_counts_whatever_was_sent_to_ours_synced_and_nobody_else():
    def used(rss_mb: float) -> figures.Figures:
        return figures.figures([Run(1, 1, 1, rss_mb=rss_mb)])

    everyone = {
        (figures.ONE, figures.OURS): used(100),
        (figures.LARGE, figures.OURS): used(140),
        (figures.ONE, figures.OURS_UNSYNCED): used(200),
        (figures.ONE, figures.ORTHANC): used(300),
    }
    assert verdict(figures.verdicts(everyone), "peak RSS").value == 140


def test_the_figures_are_kept_without_every_latency():
    runs = {(figures.ONE, figures.OURS): [Run(2, 50, 1, latencies_us=[1.0, 2.0])]}
    medians = {key: figures.figures(several) for key, several in runs.items()}
    kept = report.as_json(runs, medians, figures.verdicts(medians))
    assert kept["runs"][0]["p99_us"] == kept["medians"][0]["p99_us"] == 2.0
    assert {one["met"] for one in kept["bars"]} == {None}
