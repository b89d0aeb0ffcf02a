"""Which routes a study takes, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway import routing
from gateway.ledger.delivery_schema import Destination, Route
from gateway.ledger.schema import Source, Study

DRY_RUN_MAX = 5000
_COLUMNS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "PatientSex": "patient_sex",
    "PatientBirthDate": "patient_birth_date",
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "StudyDescription": "study_description",
    "StudyInstanceUID": "study_instance_uid",
}


@dataclass(frozen=True)
class Verdict:
    """Whether a study goes by a route, and each reason in words."""

    study: Study
    route: Route
    destination: Destination
    goes: bool
    reasons: Sequence[str]


def matching(session: Session, study: Study) -> list[int]:
    """Return the ids of the enabled destinations that routes send a study to, each once."""
    verdicts = _verdicts(study, _routes(session))
    return sorted({one.destination.id for one in verdicts if one.goes and one.destination.enabled})


def dry_run(
    session: Session, *, since: datetime, destination_name: str | None = None
) -> list[Verdict]:
    """Return what every route says about every study received since then, the latest first."""
    routes = [one for one in _routes(session) if destination_name in (None, one[1].name)]
    studies = session.scalars(
        select(Study)
        .where(Study.received_at >= since)
        .order_by(Study.received_at.desc())
        .limit(DRY_RUN_MAX)
    )
    return [verdict for study in studies for verdict in _verdicts(study, routes)]


def judge(
    study: Study, route: Route, destination: Destination, source_ae_title: str | None
) -> Verdict:
    """Return what one route, recorded or only thought of, says about a study."""
    if source_ae_title is None:
        sent_by = (True, "from any source")
    else:
        is_it = source_ae_title == study.calling_ae_title
        sent_by = is_it, f"from {study.calling_ae_title or 'an import'}"
        if not is_it:
            sent_by = False, f"{sent_by[1]}, not {source_ae_title}"
    values = routing.values_of(
        {keyword: getattr(study, column) for keyword, column in _COLUMNS.items()},
        study.attributes or {},
    )
    reasons = [sent_by, *routing.judge(route.conditions or {}, values)]
    return Verdict(
        study,
        route,
        destination,
        goes=all(holds for holds, _ in reasons),
        reasons=[words for _, words in reasons],
    )


_Row = tuple[Route, Destination, str | None]


def _routes(session: Session) -> list[_Row]:
    rows = session.execute(
        select(Route, Destination, Source.ae_title)
        .join(Destination, Destination.id == Route.destination_id)
        .join(Source, Source.id == Route.source_id, isouter=True)
        .order_by(Destination.name, Route.id)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _verdicts(study: Study, routes: Sequence[_Row]) -> list[Verdict]:
    return [judge(study, route, destination, source) for route, destination, source in routes]
