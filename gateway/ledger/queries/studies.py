"""Studies, and everything that hangs on one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger.schema import (
    Derived,
    Event,
    KeyFrame,
    Landmark,
    Pack,
    Quarantine,
    Series,
    Study,
    Transfer,
)
from gateway.model import AssociationOutcome, DerivedRole, Organ, PackState, StudyState

PAGE_MAX = 500


@dataclass(frozen=True)
class StudyLine:
    """A study with what is counted about it."""

    study: Study
    received_count: int
    received_bytes: int
    open_pack_count: int
    derived_count: int
    frame_count: int  # in the current multi-frame instances
    key_frame_count: int
    quarantine_count: int
    transfers: Sequence[Transfer]


@dataclass(frozen=True)
class PackLine:
    pack: Pack
    series_instance_uid: str


def lines(
    session: Session,
    *,
    search: str = "",
    state: StudyState | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[StudyLine]:
    """Return studies, the latest first. search: part of a name, or the start of an id or UID."""
    query = select(Study).where(*_matching(search, state))
    query = query.order_by(Study.last_received_at.desc(), Study.id.desc())
    rows = session.scalars(query.limit(min(limit, PAGE_MAX)).offset(offset)).all()
    return _lines(session, rows)


def count(session: Session, *, search: str = "", state: StudyState | None = None) -> int:
    """Return how many studies `lines` would go through."""
    return (
        session.scalar(select(func.count()).select_from(Study).where(*_matching(search, state)))
        or 0
    )


def count_by_state(session: Session) -> dict[StudyState, int]:
    rows = session.execute(select(Study.state, func.count()).group_by(Study.state))
    return {state: count for state, count in rows}  # noqa: C416 - a Row is not a pair to dict()


def line(session: Session, study_id: int) -> StudyLine:
    """Return one study. Raises NotFound."""
    return _lines(session, [get(session, study_id)])[0]


def get(session: Session, study_id: int) -> Study:
    """Return the row. Raises NotFound."""
    row = session.get(Study, study_id)
    if row is None:
        raise NotFound(f"There is no study {study_id}.")
    return row


def by_uid(session: Session, study_instance_uid: str) -> Study:
    """Return the row. Raises NotFound."""
    row = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if row is None:
        raise NotFound(f"There is no study {study_instance_uid}.")
    return row


def packs(session: Session, study_id: int) -> list[PackLine]:
    """Return a study's packs in the order they were opened."""
    rows = session.execute(
        select(Pack, Series.series_instance_uid)
        .join(Series, Series.id == Pack.series_id)
        .where(Pack.study_id == study_id)
        .order_by(Pack.id)
    )
    return [PackLine(pack, uid) for pack, uid in rows]


def open_packs(session: Session) -> list[Pack]:
    """Return packs that are open, or whose association was never closed."""
    unfinished = or_(Pack.state == PackState.OPEN, Pack.outcome == AssociationOutcome.OPEN)
    return list(session.scalars(select(Pack).where(unfinished)))


def pack_keys(session: Session) -> set[str]:
    """Return the storage keys of all packs."""
    return set(session.scalars(select(Pack.storage_key)))


def pack_id(session: Session, storage_key: str) -> int | None:
    return session.scalar(select(Pack.id).where(Pack.storage_key == storage_key))


def derived(session: Session, study_id: int) -> list[Derived]:
    """Return the current derived instances, frames first, in the order of their numbers."""
    return list(
        session.scalars(
            select(Derived)
            .where(Derived.study_id == study_id, Derived.superseded_in.is_(None))
            .order_by(Derived.role, Derived.number, Derived.id)
        )
    )


def derived_one(session: Session, derived_id: int) -> Derived:
    """Return the row. Raises NotFound."""
    row = session.get(Derived, derived_id)
    if row is None:
        raise NotFound(f"There is no derived instance {derived_id}.")
    return row


def key_frames(session: Session, study: Study) -> list[KeyFrame]:
    """Return the key frames of the current revision in time order."""
    return list(
        session.scalars(
            select(KeyFrame)
            .where(KeyFrame.study_id == study.id, KeyFrame.revision == study.revision)
            .order_by(KeyFrame.rank)
        )
    )


def landmarks(session: Session, study_id: int) -> list[Landmark]:
    """Return where organs begin, in the order of the organs."""
    rows = session.scalars(select(Landmark).where(Landmark.study_id == study_id))
    return sorted(rows, key=lambda one: list(Organ).index(one.organ))


def events(session: Session, study_id: int, *, limit: int = 200) -> list[Event]:
    """Return the latest events of a study and of what belongs to it, newest first."""
    return list(
        session.scalars(
            select(Event).where(Event.study_id == study_id).order_by(Event.id.desc()).limit(limit)
        )
    )


def quarantine(
    session: Session, *, study_instance_uid: str | None = None, limit: int = 100
) -> list[Quarantine]:
    """Return quarantined instances, newest first, of one study or of all."""
    query = select(Quarantine).order_by(Quarantine.id.desc()).limit(min(limit, PAGE_MAX))
    if study_instance_uid is not None:
        query = query.where(Quarantine.study_instance_uid == study_instance_uid)
    return list(session.scalars(query))


def _matching(search: str, state: StudyState | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if state is not None:
        conditions.append(Study.state == state)
    if search:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append(
            or_(
                Study.patient_name.ilike(f"%{escaped}%", escape="\\"),
                Study.patient_id.ilike(f"{escaped}%", escape="\\"),
                Study.accession_number.ilike(f"{escaped}%", escape="\\"),
                Study.study_instance_uid.like(f"{escaped}%", escape="\\"),
            )
        )
    return conditions


def _lines(session: Session, rows: Sequence[Study]) -> list[StudyLine]:
    """Count what hangs on each study, with one question per table however many studies."""
    ids = [row.id for row in rows]
    packs = {
        one[0]: (int(one[1]), int(one[2]), one[3])  # PostgreSQL sums to Decimal
        for one in session.execute(
            select(
                Pack.study_id,
                func.sum(Pack.instance_count),
                func.sum(Pack.size_bytes),
                func.count().filter(Pack.state == PackState.OPEN),
            )
            .where(Pack.study_id.in_(ids))
            .group_by(Pack.study_id)
        )
    }
    made = {
        one[0]: (one[1], int(one[2]), one[3])
        for one in session.execute(
            select(
                Derived.study_id,
                func.count(),
                func.sum(case((Derived.role == DerivedRole.FRAMES, Derived.frame_count), else_=0)),
                func.count().filter(Derived.role == DerivedRole.KEY_FRAME),
            )
            .where(Derived.study_id.in_(ids), Derived.superseded_in.is_(None))
            .group_by(Derived.study_id)
        )
    }
    apart = select(Quarantine.study_instance_uid, func.count()).where(
        Quarantine.study_instance_uid.in_([row.study_instance_uid for row in rows])
    )
    quarantined = {
        one[0]: one[1] for one in session.execute(apart.group_by(Quarantine.study_instance_uid))
    }
    transfers: dict[int, list[Transfer]] = {}
    wanted = select(Transfer).where(Transfer.study_id.in_(ids)).order_by(Transfer.id)
    for transfer in session.scalars(wanted):
        transfers.setdefault(transfer.study_id, []).append(transfer)
    return [
        StudyLine(
            row,
            *packs.get(row.id, (0, 0, 0)),
            *made.get(row.id, (0, 0, 0)),
            quarantined.get(row.study_instance_uid, 0),
            transfers.get(row.id, []),
        )
        for row in rows
    ]
