"""Pure: how far a study is on its path, from receive to confirm, for people to see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.queries.transfers import TransferLine
from gateway.ledger.schema import Derived, Event, Transfer
from gateway.model import DerivedRole, StudyState, TransferState
from gateway.web.words import counted, duration, percent, size

Progress = Literal["waiting", "now", "done", "failed", "off"]

_ORDER = (
    StudyState.RECEIVING,
    StudyState.SETTLING,
    StudyState.WRAPPING,
    StudyState.SUMMARISING,
    StudyState.READY,
)
_SENT = (TransferState.SENT, TransferState.COMMITTED, TransferState.VERIFIED)
_CONFIRMED = (TransferState.COMMITTED, TransferState.VERIFIED)


@dataclass(frozen=True)
class Step:
    """One verb of the path. done and total: of what it counts; total 0 where that is unknown."""

    name: str
    progress: Progress
    headline: str = ""
    note: str = ""
    at: datetime | None = None
    done: int = 0
    total: int = 0

    @property
    def percent(self) -> int | None:
        if self.progress == "done":
            return 100
        return percent(self.done, self.total) if self.total else None


@dataclass(frozen=True)
class Facts:
    """A study with what hangs on its current revision. events: the latest first."""

    line: StudyLine
    derived: Sequence[Derived]
    transfers: Sequence[TransferLine]
    events: Sequence[Event]
    settle_s: float


def path(facts: Facts) -> list[Step]:
    """Return the six steps of the path."""
    at: dict[str, datetime] = {}
    for event in facts.events:
        at.setdefault(event.kind, event.at)
    return [
        _receive(facts),
        _settle(facts, at),
        _wrap(facts, at),
        _summarise(facts, at),
        _send(facts, at),
        _confirm(facts, at),
    ]


def bars(line: StudyLine, items: Mapping[int, tuple[int, int]]) -> list[Step]:
    """Return received, wrapped and sent, for the list. items: transfer id to (done, total)."""
    study = line.study
    wrapped: Progress = {
        StudyState.WRAPPING: "now",
        StudyState.SUMMARISING: "done",
        StudyState.READY: "done",
        StudyState.FAILED: "failed",
    }.get(study.state, "waiting")  # type: ignore[assignment]
    wanted = _wanted(line.transfers, study.revision)
    return [
        Step(
            "received",
            "now" if study.state is StudyState.RECEIVING else "done",
            done=line.received_count,
            total=study.declared_count or 0,
        ),
        Step("wrapped", wrapped),
        Step(
            "sent",
            _delivery([one.state for one in wanted]),
            done=sum(items.get(one.id, (0, 0))[0] for one in wanted),
            total=sum(items.get(one.id, (0, 0))[1] for one in wanted),
        ),
    ]


def standing(steps: Sequence[Step], line: StudyLine) -> str:
    """Return in a few words where a study of the list stands; steps: its bars."""
    received, _, sent = steps
    study = line.study
    if study.state is StudyState.RECEIVING:
        share = f", {received.percent} %" if received.percent is not None else ""
        return "arriving" + share if line.open_pack_count else "waiting for quiet" + share
    if study.state is not StudyState.READY:
        return study.reason
    failed = sum(one.state is TransferState.FAILED for one in line.transfers)
    if failed:
        return f"{counted(failed, 'transfer')} failed"
    if not sent.total:
        return "no destination"
    if sent.progress == "done":
        wanted = _wanted(line.transfers, study.revision)
        return "committed" if all(one.state in _CONFIRMED for one in wanted) else "sent"
    return f"{sent.done:,} of {sent.total:,} instances sent"


def last_activity(line: StudyLine) -> datetime:
    """Return when anything last happened to a study or a transfer of it."""
    study = line.study
    moved = (one.state_changed_at for one in line.transfers)
    return max(study.last_received_at, study.state_changed_at, *moved)


def _progress(facts: Facts, state: StudyState) -> Progress:
    study = facts.line.study
    where = study.state
    if where is StudyState.FAILED:
        where = _failed_in(facts.events)
        if where is state:
            return "failed"
    if where is state:
        return "now"
    return "done" if _ORDER.index(state) < _ORDER.index(where) else "waiting"


def _failed_in(events: Sequence[Event]) -> StudyState:
    for event in events:
        if event.subject == "study" and event.kind == "failed" and event.from_state in _ORDER:
            return StudyState(event.from_state)
    return StudyState.SETTLING


def _receive(facts: Facts) -> Step:
    line = facts.line
    return Step(
        "receive",
        _progress(facts, StudyState.RECEIVING),
        counted(line.received_count, "instance"),
        f"{size(line.received_bytes)} from {line.study.calling_ae_title or 'an unknown AE'}",
        line.study.last_received_at,
        line.received_count,
        line.study.declared_count or 0,
    )


def _settle(facts: Facts, at: Mapping[str, datetime]) -> Step:
    study = facts.line.study
    if study.settle_rule:
        when = max((at[kind] for kind in ("settled", "retried") if kind in at), default=None)
        progress = _progress(facts, StudyState.SETTLING)
        return Step("settle", progress, "complete", study.settle_rule.in_words, when)
    declared = f"at {study.declared_count:,} instances, or " if study.declared_count else ""
    still_open = facts.line.open_pack_count
    return Step(
        "settle",
        _progress(facts, StudyState.SETTLING),
        "still arriving" if still_open else "waiting for quiet",
        f"{declared}{duration(facts.settle_s)} after the last association",
    )


def _wrap(facts: Facts, at: Mapping[str, datetime]) -> Step:
    progress = _progress(facts, StudyState.WRAPPING)
    if progress != "done":
        return Step("wrap", progress, "", "into multi-frame instances")
    parts = sum(one.role is DerivedRole.FRAMES for one in facts.derived)
    others = sum(one.role is DerivedRole.ORIGINAL for one in facts.derived)
    note = f"in {counted(parts, 'instance')}"
    if others:
        note += f", {counted(others, 'other')} as they came"
    headline = counted(facts.line.frame_count, "frame")
    return Step("wrap", progress, headline, note, at.get("wrapped"))


def _summarise(facts: Facts, at: Mapping[str, datetime]) -> Step:
    progress = _progress(facts, StudyState.SUMMARISING)
    if progress != "done":
        return Step("summarise", progress, "", "key frames and contact sheet")
    sheet = any(one.role is DerivedRole.CONTACT_SHEET for one in facts.derived)
    headline = counted(facts.line.key_frame_count, "key frame")
    note = "and a contact sheet" if sheet else "without a contact sheet"
    return Step("summarise", progress, headline, note, at.get("summarised"))


def _send(facts: Facts, at: Mapping[str, datetime]) -> Step:
    wanted = [one for one in facts.transfers if _counts(one.transfer)]
    if not wanted:
        nowhere = facts.line.study.state is StudyState.READY
        return Step(
            "send", "off" if nowhere else "waiting", "", "no destination" if nowhere else ""
        )
    progress = _delivery([one.transfer.state for one in wanted])
    done, total = sum(one.done_count for one in wanted), sum(one.item_count for one in wanted)
    headline = counted(total, "instance") if done == total else f"{done:,} of {total:,} instances"
    note = f"to {', '.join(sorted({one.destination.name for one in wanted}))}"
    when = at.get("sent") if progress == "done" else None
    return Step("send", progress, headline, note, when, done, total)


def _confirm(facts: Facts, at: Mapping[str, datetime]) -> Step:
    wanted = [one for one in facts.transfers if _counts(one.transfer)]
    asked = [one for one in wanted if one.destination.commitment]
    if not asked:
        return Step(
            "confirm", "off" if wanted else "waiting", "", "not asked for" if wanted else ""
        )
    confirmed = sum(one.transfer.state in _CONFIRMED for one in asked)
    if confirmed == len(asked):
        note = (
            "the destination answers for it" if confirmed == 1 else "all destinations answer for it"
        )
        return Step("confirm", "done", "committed", note, at.get("committed"))
    started = confirmed or any(one.transfer.state is TransferState.SENT for one in asked)
    headline = f"{confirmed} of {counted(len(asked), 'destination')}" if started else ""
    return Step("confirm", "now" if started else "waiting", headline, "Storage Commitment")


def _wanted(transfers: Sequence[Transfer], revision: int) -> list[Transfer]:
    return [one for one in transfers if one.revision == revision and _counts(one)]


def _counts(transfer: Transfer) -> bool:
    return transfer.state is not TransferState.CANCELLED


def _delivery(states: Sequence[TransferState]) -> Progress:
    if TransferState.FAILED in states:
        return "failed"
    if states and all(state in _SENT for state in states):
        return "done"
    return "now" if TransferState.SENDING in states else "waiting"
