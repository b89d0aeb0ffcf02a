"""Pure: what a check found."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LISTED_MAX = 10
"""Findings of one rule that are listed; the others are counted."""


class Severity(StrEnum):
    ERROR = "error"  # some receiver refuses it or shows it wrong: it is not sent
    WARNING = "warning"  # legal, and worth a look


@dataclass(frozen=True, slots=True)
class Finding:
    """rule: what it broke, in a word for programs. frame_number: 1-based; None: of the whole."""

    rule: str
    message: str
    severity: Severity = Severity.ERROR
    frame_number: int | None = None

    @property
    def in_words(self) -> str:
        where = f"Frame {self.frame_number}: " if self.frame_number else ""
        return f"{where}{self.message}"


class Findings:
    """Collects findings: of each rule the first few, and how many there were."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()

    def error(self, rule: str, message: str, frame_number: int | None = None) -> None:
        self._add(Finding(rule, message, Severity.ERROR, frame_number))

    def warning(self, rule: str, message: str) -> None:
        self._add(Finding(rule, message, Severity.WARNING))

    def _add(self, finding: Finding) -> None:
        self._counts[finding.rule, finding.severity] += 1
        if self._counts[finding.rule, finding.severity] <= LISTED_MAX:
            self._listed.append(finding)

    @property
    def listed(self) -> tuple[Finding, ...]:
        return tuple(self._listed)

    @property
    def error_count(self) -> int:
        return sum(n for (_, severity), n in self._counts.items() if severity is Severity.ERROR)


@dataclass(frozen=True)
class Report:
    """What was found in one file. decoded_count: frames that two decoders agreed about, or not."""

    findings: tuple[Finding, ...]
    error_count: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    frame_count: int = 0
    decoded_count: int = 0

    @property
    def passed(self) -> bool:
        return self.error_count == 0

    @property
    def in_words(self) -> str:
        """Return one sentence for an operator: the first error, and how many more there are."""
        errors = [one for one in self.findings if one.severity is Severity.ERROR]
        if not errors:
            return f"{self.frame_count} frames, {self.decoded_count} decoded twice: no error."
        more = f" And {self.error_count - 1} more." if self.error_count > 1 else ""
        return errors[0].in_words + more

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "sop_class_uid": self.sop_class_uid,
            "sop_instance_uid": self.sop_instance_uid,
            "frames": self.frame_count,
            "decoded": self.decoded_count,
            "errors": self.error_count,
            "findings": [
                {
                    "rule": one.rule,
                    "severity": str(one.severity),
                    "frame_number": one.frame_number,
                    "message": one.message,
                }
                for one in self.findings
            ],
        }
