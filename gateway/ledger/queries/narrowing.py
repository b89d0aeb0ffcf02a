"""Which studies may match a query: a question the indexes answer.

What comes back holds every match and perhaps more; gateway.dicom.matching decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, false, literal_column, or_, select, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from gateway.ledger.schema import Correction, Derived, Series, Study

UIDS_MAX = 500
"""Of a list; a longer one is not taken to the database, and everything else still is."""
_HIGHEST = "\U0010ffff"
_EMPTY: ColumnElement[str] = literal_column("''")
"""Written out, or SQLite would not see that an index of what is not empty will do."""
_NAMES = (Study.name_alphabetic, Study.name_ideographic, Study.name_phonetic)
_TEXTS: Mapping[str, InstrumentedAttribute[str]] = {
    "PatientID": Study.patient_id,
    "AccessionNumber": Study.accession_number,
    "StudyID": Study.study_identifier,
    "StudyDescription": Study.study_description,
    "PatientBirthDate": Study.patient_birth_date,
    "PatientSex": Study.patient_sex,
}
NARROWED_TEXTS = frozenset(_TEXTS)


@dataclass(frozen=True)
class Narrowing:
    """Conditions that hold for every match; what is empty narrows nothing.

    texts: by keyword (NARROWED_TEXTS), alternatives with * and ?. names: of the patient, folded
    (gateway.dicom.names), alternatives for any component group. dates: first and last Study
    Date. The UIDs are alternatives, too.
    """

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    dates: tuple[str, str] | None = None
    study_instance_uids: tuple[str, ...] = ()
    series_instance_uids: tuple[str, ...] = ()


def study_ids(session: Session, narrowing: Narrowing, *, received: bool) -> list[int]:
    """Return the ids of the studies that may match, the latest first.

    received: whether studies of which only received instances are there count, too.
    """
    prefixes = session.get_bind().dialect.name == "sqlite"
    conditions: list[ColumnElement[bool]] = [
        or_(*(_like(_TEXTS[keyword], one, by_range=prefixes) for one in patterns))
        for keyword, patterns in narrowing.texts.items()
    ]
    if narrowing.names:
        conditions.append(
            _among(
                and_(group != _EMPTY, _like(group, one, by_range=prefixes))
                for one in narrowing.names
                for group in _NAMES
            )
        )
    if narrowing.dates is not None:
        conditions.append(Study.study_date.between(*narrowing.dates))
    conditions += _uid_conditions(narrowing)
    if not received:
        conditions.append(
            select(Derived.id)
            .where(
                Derived.study_id == Study.id,
                Derived.superseded_in.is_(None),
                Derived.destination_id.is_(None),
            )
            .exists()
        )
    return sorted(session.scalars(select(Study.id).where(*conditions)), reverse=True)


def is_corrected() -> ColumnElement[bool]:
    """Whether an operator changed whose study it is: what was received says otherwise."""
    return select(Correction.id).where(Correction.study_id == Study.id).exists()


def _uid_conditions(narrowing: Narrowing) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if 0 < len(narrowing.study_instance_uids) <= UIDS_MAX:
        uids = narrowing.study_instance_uids
        conditions.append(
            _among(
                (
                    Study.study_instance_uid.in_(uids),
                    and_(Study.delivered_uid != _EMPTY, Study.delivered_uid.in_(uids)),
                )
            )
        )
    if 0 < len(narrowing.series_instance_uids) <= UIDS_MAX:
        uids = narrowing.series_instance_uids
        conditions.append(
            Study.id.in_(
                select(Derived.study_id)
                .where(Derived.series_instance_uid.in_(uids))
                .union(select(Series.study_id).where(Series.series_instance_uid.in_(uids)))
            )
        )
    return conditions


def _among(alternatives: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return that any of some conditions holds, each looked up by an index of its own.

    In one OR, a column that is empty in most rows would talk the planner into reading them all.
    """
    return Study.id.in_(union(*(select(Study.id).where(one) for one in alternatives)))


def _like(
    column: InstrumentedAttribute[str], pattern: str, *, by_range: bool
) -> ColumnElement[bool]:
    """Return a condition for a pattern with * and ?; by_range: in a form SQLite has indexes for."""
    if "*" not in pattern and "?" not in pattern:
        return column == pattern if pattern else false()
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
    beginning = pattern[: min(at for at in (pattern.find("*"), pattern.find("?")) if at >= 0)]
    if not by_range or not beginning:
        return like
    return and_(column >= beginning, column < beginning + _HIGHEST, like)
