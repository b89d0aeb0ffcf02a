"""Tables for people, and the same figures as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.ingest import figures
from tests.bench.ingest.figures import Figures, Key, Run, Verdict

HEADINGS = (
    "instances", "inst/s", "MB/s", "CPU s/1,000", "peak RSS MB", "p50 µs", "p99 µs",
)  # fmt: skip


def run_line(key: Key, round_number: int, run: Run) -> str:
    """One line while it goes on."""
    one = figures.figures([run])
    cells = zip(HEADINGS[1:], _cells(one)[1:], strict=True)
    told = ", ".join(f"{text} {heading}" for heading, text in cells if text != "-")
    return f"round {round_number}: {key[0]}, {key[1]}: {told}"


def tables(measured: Mapping[Key, Figures]) -> str:
    """Return one Markdown table per scenario."""
    parts = []
    for scenario in dict.fromkeys(key[0] for key in measured):
        rows = [(key[1], *_cells(one)) for key, one in measured.items() if key[0] == scenario]
        parts.append(_markdown((scenario, *HEADINGS), rows))
    return "\n\n".join(parts)


def bars(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (one.words, "-" if one.value is None else f"{one.value:.2f}", one.bar, _word(one.met))
        for one in verdicts
    ]
    return _markdown(("what", "measured", "bar", ""), rows)


def bound_line(measured: Mapping[Key, Figures]) -> str:
    """Say what the bound is made of, where it was measured."""
    keys = [(figures.ONE, figures.SINK), (figures.ONE, figures.APPENDS)]
    if not all(key in measured for key in keys):
        return "The bound was not measured."
    null, append = (measured[key].instances_per_s for key in keys)
    return (
        f"The bound: 1/(1/{null:,.0f} null round trips/s + 1/{append:,.0f} synced appends/s)"
        f" = {figures.bound(null, append):,.0f} instances/s"
    )


def as_json(
    runs: Mapping[Key, Sequence[Run]], measured: Mapping[Key, Figures], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """Return every run (latencies as their percentiles), the medians and the verdicts."""
    return {
        "runs": [
            {"sent": key[0], "receiver": key[1], **asdict(figures.figures([run]))}
            for key, several in runs.items()
            for run in several
        ],
        "medians": [
            {"sent": key[0], "receiver": key[1], **asdict(one)} for key, one in measured.items()
        ],
        "bars": [asdict(one) for one in verdicts],
    }


def _cells(one: Figures) -> tuple[str, ...]:
    return (
        f"{one.instances:,}",
        f"{one.instances_per_s:,.0f}" if one.instances > 1 else "-",
        f"{one.mb_per_s:,.1f}",
        "-" if one.cpu_s_per_1000 is None or one.instances == 1 else f"{one.cpu_s_per_1000:.3f}",
        *(
            "-" if value is None else f"{value:,.0f}"
            for value in (one.rss_mb, one.p50_us, one.p99_us)
        ),
    )


def _word(met: bool | None) -> str:
    return {True: "met", False: "NOT MET", None: "not measured"}[met]


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns line up: the first to the left, the others to the right."""
    widths = [max(len(line[at]) for line in (headings, *rows)) for at in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths))
    return "\n".join((line(headings), f"|{rule}|", *map(line, rows)))
