"""Pure: the proof sheet of an export: what was kept, changed and removed. No values are in it."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.deidentify.build import Changes
from gateway.deidentify.profile import Profile

STANDARD = "DICOM PS3.15 Annex E, Basic Application Level Confidentiality Profile"


@dataclass(frozen=True)
class Made:
    """One instance of the sheet. sop_instance_uid: what the destination gets; of one that was
    left out, empty. metadata_bytes: of APPn and COM segments and behind the image's end.
    """

    role: str
    number: int
    sop_instance_uid: str = ""
    digest: str = ""
    frame_count: int = 0
    blanked_count: int = 0
    metadata_bytes: int = 0
    changes: Changes = field(default_factory=Changes)
    left_out: str = ""


@dataclass(frozen=True)
class Export:
    """made_at: ISO 8601. version: tells the profile, as it was, and the domain's key apart."""

    transfer_id: int
    destination: str
    profile_name: str
    profile: Profile
    domain: str
    version: str
    made_at: str


def to_text(made: Made) -> str:
    """Return one line of the sheet as text that `from_text` reads."""
    return json.dumps(
        {**vars(made), "changes": {name: sorted(of) for name, of in vars(made.changes).items()}}
    )


def from_text(text: str) -> Made:
    """Raises ValueError if the text is not what `to_text` wrote."""
    try:
        said = json.loads(text)
        changes = Changes(**{name: set(of) for name, of in said.pop("changes").items()})
        return Made(**said, changes=changes)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("no line of a proof sheet") from error


def as_json(export: Export, instances: Sequence[Made]) -> dict[str, Any]:
    return {
        "standard": STANDARD,
        "transfer": export.transfer_id,
        "destination": export.destination,
        "made_at": export.made_at,
        "profile": {"name": export.profile_name, **export.profile.as_json()},
        "pseudonym_domain": export.domain,
        "version": export.version,
        "methods": [
            {"code": value, "scheme": "DCM", "meaning": meaning}
            for value, meaning in export.profile.codes
        ],
        "instances": [
            {
                "role": one.role,
                "number": one.number,
                "sop_instance_uid": one.sop_instance_uid,
                "sha256": one.digest,
                "frames": one.frame_count,
                "frames_blanked": one.blanked_count,
                "metadata_bytes_removed": one.metadata_bytes,
                "left_out": one.left_out,
                "kept": sorted(one.changes.kept),
                "changed": sorted(one.changes.changed),
                "removed": sorted(one.changes.removed),
            }
            for one in instances
        ],
    }


def as_csv(export: Export, instances: Sequence[Made]) -> str:
    """Return a line per attribute: in how many instances it was kept, changed and removed."""
    counts: dict[str, list[int]] = {}
    for one in instances:
        for place, names in enumerate((one.changes.kept, one.changes.changed, one.changes.removed)):
            for name in names:
                counts.setdefault(name, [0, 0, 0])[place] += 1
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerows(
        [
            ["transfer", export.transfer_id],
            ["destination", export.destination],
            ["made at", export.made_at],
            ["profile", export.profile_name],
            ["version", export.version],
            ["instances", sum(not one.left_out for one in instances)],
            ["left out", sum(bool(one.left_out) for one in instances)],
            ["frames", sum(one.frame_count for one in instances)],
            ["frames with regions blanked", sum(one.blanked_count for one in instances)],
            ["bytes of frame metadata removed", sum(one.metadata_bytes for one in instances)],
            [],
            ["attribute", "kept in", "changed in", "removed from"],
        ]
    )
    sheet.writerows([name, *counts[name]] for name in sorted(counts))
    return text.getvalue()
