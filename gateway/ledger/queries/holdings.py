"""What we hold of studies, for those who query and retrieve: derived instances, and the series
as they were received.

Derived instances made for one destination only are not among it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.ledger.delivery_schema import Destination
from gateway.ledger.queries.narrowing import is_corrected
from gateway.ledger.schema import Derived, Pack, Series, Study
from gateway.model import DerivedRole, PackState

_DOCUMENTS = {
    DerivedRole.KEY_OBJECTS: "KO",
    DerivedRole.REJECTION_NOTE: "KO",
    DerivedRole.REPORT: "SR",
}
"""Modality of what we make; every image of ours is ES."""
_CURRENT = (Derived.superseded_in.is_(None), Derived.destination_id.is_(None))


@dataclass(frozen=True)
class HeldStudy:
    """study_instance_uid: as its derived instances have it, received_uid: as it was received.

    corrected: an operator changed whose it is; what was received is not offered then.
    """

    id: int
    study_instance_uid: str
    received_uid: str
    corrected: bool
    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_time: str
    study_identifier: str
    study_description: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class HeldSeries:
    """A Series, derived or as received. sample: one of its instances, if it has any here.

    number and description are only known of a received one; of others, its instances say them.
    """

    study_id: int
    series_instance_uid: str
    instance_count: int
    received: bool
    modality: str
    series_number: str = ""
    series_description: str = ""
    sample: Derived | None = None


@dataclass(frozen=True)
class Summary:
    """What is counted about a study's derived instances."""

    series_count: int
    instance_count: int
    modalities: tuple[str, ...]
    sop_class_uids: tuple[str, ...]


NOTHING = Summary(0, 0, (), ())


def studies(session: Session, ids: Sequence[int]) -> list[HeldStudy]:
    """Return studies in the order of ids; those that are gone are left out."""
    rows = session.execute(
        select(
            Study.id, Study.study_instance_uid, Study.delivered_uid, is_corrected(),
            Study.patient_id, Study.patient_name, Study.patient_birth_date, Study.patient_sex,
            Study.accession_number, Study.study_date, Study.study_time, Study.study_identifier,
            Study.study_description, Study.attributes,
        ).where(Study.id.in_(ids))
    )  # fmt: skip
    found = {
        row[0]: HeldStudy(*(row[0], row[2] or row[1], row[1], *tuple(row)[3:])) for row in rows
    }
    return [found[one] for one in ids if one in found]


def summaries(session: Session, ids: Sequence[int]) -> dict[int, Summary]:
    """Return what is counted about studies, by id."""
    modalities = _received_modalities(session, ids)
    rows = session.execute(
        select(
            Derived.study_id, Derived.series_instance_uid, Derived.role, Derived.sop_class_uid,
            func.count(),
        )
        .where(Derived.study_id.in_(ids), *_CURRENT)
        .group_by(
            Derived.study_id, Derived.series_instance_uid, Derived.role, Derived.sop_class_uid
        )
    ).all()  # fmt: skip
    by_study: dict[int, list[Any]] = {}
    for row in rows:
        by_study.setdefault(row[0], []).append(row)
    return {
        study_id: Summary(
            series_count=len({row[1] for row in some}),
            instance_count=sum(row[4] for row in some),
            modalities=tuple(
                sorted({modality_of(row[2], modalities.get((study_id, row[1]))) for row in some})
            ),
            sop_class_uids=tuple(sorted({row[3] for row in some})),
        )
        for study_id, some in by_study.items()
    }


def derived_series(session: Session, ids: Sequence[int]) -> list[HeldSeries]:
    """Return the series of derived instances of studies."""
    modalities = _received_modalities(session, ids)
    rows = session.execute(
        select(
            Derived.study_id, Derived.series_instance_uid, func.count(), func.min(Derived.id)
        )
        .where(Derived.study_id.in_(ids), *_CURRENT)
        .group_by(Derived.study_id, Derived.series_instance_uid)
        .order_by(Derived.study_id, func.min(Derived.id))
    ).all()  # fmt: skip
    samples = {
        one.id: one
        for one in session.scalars(select(Derived).where(Derived.id.in_([row[3] for row in rows])))
    }
    return [
        HeldSeries(
            study_id=study_id,
            series_instance_uid=uid,
            instance_count=count,
            received=False,
            modality=modality_of(samples[sample].role, modalities.get((study_id, uid))),
            sample=samples[sample],
        )
        for study_id, uid, count, sample in rows
    ]


def received_series(session: Session, ids: Sequence[int]) -> list[HeldSeries]:
    """Return the series of studies as they were received: what lies in sealed packs."""
    rows = session.execute(
        select(Series, func.sum(Pack.instance_count))
        .join(Pack, Pack.series_id == Series.id)
        .join(Study, Study.id == Series.study_id)
        .where(Series.study_id.in_(ids), Pack.state == PackState.SEALED, ~is_corrected())
        .group_by(Series.id)
        .order_by(Series.id)
    )
    return [
        HeldSeries(
            study_id=row.study_id,
            series_instance_uid=row.series_instance_uid,
            instance_count=int(count or 0),
            received=True,
            modality=row.modality,
            series_number=row.series_number,
            series_description=row.series_description,
        )
        for row, count in rows
    ]


def derived(
    session: Session, study_id: int, series_instance_uids: Collection[str] | None = None
) -> list[Derived]:
    """Return the derived instances of a study, or of some of its series, by series and number."""
    query = select(Derived).where(Derived.study_id == study_id, *_CURRENT)
    if series_instance_uids is not None:
        query = query.where(Derived.series_instance_uid.in_(series_instance_uids))
    return list(
        session.scalars(query.order_by(Derived.series_instance_uid, Derived.number, Derived.id))
    )


def pack_keys(session: Session, study_id: int, series_instance_uids: Iterable[str]) -> list[str]:
    """Return the storage keys of the sealed packs of received series, in the order they came."""
    return list(
        session.scalars(
            select(Pack.storage_key)
            .join(Series, Series.id == Pack.series_id)
            .where(
                Pack.study_id == study_id,
                Pack.state == PackState.SEALED,
                Series.series_instance_uid.in_(list(series_instance_uids)),
            )
            .order_by(Pack.id)
        )
    )


def destination(session: Session, ae_title: str) -> Destination | None:
    """Return where a Move Destination is, if it is known and enabled."""
    return session.scalar(
        select(Destination)
        .where(Destination.ae_title == ae_title, Destination.enabled)
        .order_by(Destination.id)
        .limit(1)
    )


def modality_of(role: DerivedRole, received: str | None) -> str:
    """Return the Modality of a derived instance. received: of the Series it came in, if any."""
    if role is DerivedRole.ORIGINAL:
        return received or "OT"
    return _DOCUMENTS.get(role, "ES")


def _received_modalities(session: Session, ids: Sequence[int]) -> dict[tuple[int, str], str]:
    rows = session.execute(
        select(Series.study_id, Series.series_instance_uid, Series.modality).where(
            Series.study_id.in_(ids)
        )
    )
    return {(row[0], row[1]): row[2] for row in rows}
