"""Pure: what an import did, for people and for programs."""

from dataclasses import dataclass, field
from typing import Any

LISTED_MAX = 1000
"""Files listed by name of each kind; the counts count all."""


@dataclass
class Report:
    """found = imported + already_there + refused. damaged: imported, but cannot be shown."""

    found_count: int = 0
    imported_count: int = 0
    already_there_count: int = 0
    refused_count: int = 0
    damaged_count: int = 0
    ignored_count: int = 0
    size_bytes: int = 0  # of what was imported
    seconds: float = 0.0
    study_instance_uids: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # name, reason
    damaged: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Everything that was found is kept, and can be shown."""
        return not self.refused_count and not self.damaged_count

    def refuse(self, name: str, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < LISTED_MAX:
            self.refused.append((name, reason))

    def damage(self, name: str, reason: str) -> None:
        self.damaged_count += 1
        if len(self.damaged) < LISTED_MAX:
            self.damaged.append((name, reason))

    def ignore(self, name: str) -> None:
        self.ignored_count += 1
        if len(self.ignored) < LISTED_MAX:
            self.ignored.append(name)

    def remark(self, words: str) -> None:
        if words and words not in self.remarks:
            self.remarks.append(words)

    def as_json(self) -> dict[str, Any]:
        return {
            "found": self.found_count,
            "imported": self.imported_count,
            "already_there": self.already_there_count,
            "refused": self.refused_count,
            "damaged": self.damaged_count,
            "ignored": self.ignored_count,
            "bytes": self.size_bytes,
            "seconds": round(self.seconds, 3),
            "studies": self.study_instance_uids,
            "refused_files": [{"file": name, "reason": why} for name, why in self.refused],
            "damaged_files": [{"file": name, "reason": why} for name, why in self.damaged],
            "ignored_files": self.ignored,
            "remarks": self.remarks,
        }

    def in_words(self) -> list[str]:
        """Return the summary, a line each."""
        rate = self.imported_count / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.imported_count:,} of {self.found_count:,} imported"
            f" in {self.seconds:.1f} s ({rate:,.0f}/s, {self.size_bytes / 1e6:,.1f} MB),"
            f" {self.already_there_count:,} were there already,"
            f" {self.refused_count:,} refused."
        ]
        lines += [f"Study {uid}" for uid in self.study_instance_uids]
        for heading, named, count in (
            ("Refused", self.refused, self.refused_count),
            ("Imported, but cannot be shown", self.damaged, self.damaged_count),
        ):
            lines += [f"{heading}: {name}: {why}" for name, why in named[:20]]
            if count > 20:
                lines.append(f"{heading}: {count - 20:,} more (--json lists them).")
        if self.ignored_count:
            names = ", ".join(self.ignored[:5])
            lines.append(f"Not looked into: {self.ignored_count:,} other files ({names}).")
        return lines + self.remarks
