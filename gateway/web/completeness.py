"""Pure: what the wrap counted, in words. "Complete" is said only when the report says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.web.words import counted, duration

GAPS_IN_WORDS_MAX = 12

Level = Literal["good", "attention", "unknown"]


@dataclass(frozen=True)
class Gap:
    """Frames that never came. after_frame_number: 1-based, in the recording."""

    after_frame_number: int
    missing_count: int
    duration_ms: float


@dataclass(frozen=True)
class Completeness:
    """level: unknown until the study was wrapped."""

    level: Level
    verdict: str
    remarks: Sequence[str] = ()
    gaps: Sequence[Gap] = ()
    frame_count: int = 0
    duration_s: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing_count(self) -> int:
        return sum(gap.missing_count for gap in self.gaps)


def judge(report: Mapping[str, Any]) -> Completeness:
    """Read a study's report; a key that is missing counts as nothing said."""
    if not report:
        return Completeness("unknown", "Not counted yet: that happens when the study is wrapped.")
    gaps = [_gap(one) for one in report.get("gaps") or ()]
    counts = {
        name: int(report.get(f"{name}_count") or 0)
        for name in ("frame", "received", "gap", "duplicate", "excluded", "conflict")
    }
    counts["gap"] = max(counts["gap"], len(gaps))
    frames, received = counts["frame"], counts["received"] or counts["frame"]
    faults = counts["gap"] or counts["excluded"] or counts["conflict"]
    return Completeness(
        level="attention" if faults else "good",
        verdict=(
            f"{frames:,} of {counted(received, 'received frame')}, "
            f"{counted(counts['gap'], 'gap')}, {counted(counts['duplicate'], 'duplicate')}."
        ),
        remarks=[*_gap_words(gaps, counts["gap"]), *_other_words(counts)],
        gaps=gaps,
        frame_count=frames,
        duration_s=float(report.get("duration_s") or 0),
        counts=counts,
    )


def _gap(one: Mapping[str, Any]) -> Gap:
    return Gap(
        after_frame_number=int(one.get("after_frame_number") or 0),
        missing_count=int(one.get("missing_count") or 0),
        duration_ms=float(one.get("duration_ms") or 0),
    )


def _gap_words(gaps: Sequence[Gap], gap_count: int) -> list[str]:
    words = []
    for gap in gaps[:GAPS_IN_WORDS_MAX]:
        what = counted(gap.missing_count, "frame") if gap.missing_count else "An unknown number"
        verb = "is" if gap.missing_count == 1 else "are"
        length = f" ({duration(gap.duration_ms / 1000)})" if gap.duration_ms else ""
        words.append(f"{what} {verb} missing after frame {gap.after_frame_number:,}{length}.")
    if gap_count > len(words):
        words.append(f"And {counted(gap_count - len(words), 'more gap')}.")
    return words


def _other_words(counts: Mapping[str, int]) -> list[str]:
    words = []
    if counts["duplicate"]:
        words.append(
            f"{counted(counts['duplicate'], 'frame')} came more than once with the same bytes; "
            "each is kept once."
        )
    if counts["excluded"]:
        words.append(
            f"{counted(counts['excluded'], 'frame')} cannot be shown and stayed out of the "
            "multi-frame instances; the bytes are kept, see quarantine."
        )
    if counts["conflict"]:
        words.append(
            f"{counted(counts['conflict'], 'instance')} came again with other bytes and "
            "stayed out, see quarantine."
        )
    return words
