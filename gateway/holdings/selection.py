"""What a retrieve request names: derived instances, and received ones where their series is named.

A Series that was received is retrieved as it was received. What is named otherwise - a patient, a
study, a derived series - is retrieved in the form we made of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.dimse.store_scu import SopInstance
from gateway.holdings import originals
from gateway.holdings.headers import Place
from gateway.holdings.held import Holdings
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level
from gateway.holdings.originals import ReceivedMembers
from gateway.holdings.records import place_of
from gateway.ledger.queries import holdings as queries
from gateway.ledger.queries import narrowing as narrow
from gateway.ledger.queries.narrowing import Narrowing
from gateway.ledger.schema import Derived


@dataclass(frozen=True)
class Item:
    """One instance to send. digest: SHA-256 of its file, hexadecimal."""

    instance: SopInstance
    place: Place
    digest: str


@dataclass
class Selection:
    """Everything a request names; derived rows are few, received members stay in their index."""

    derived: list[Derived] = field(default_factory=list)
    received: list[ReceivedMembers] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.derived) + sum(len(one) for one in self.received)

    def kinds(self) -> list[tuple[str, str]]:
        """Return each (SOP Class UID, Transfer Syntax UID) in it."""
        found = {(one.sop_class_uid, one.transfer_syntax_uid) for one in self.derived}
        return sorted(found.union(*(one.kinds() for one in self.received)))

    def __iter__(self) -> Iterator[Item]:
        for row in self.derived:
            instance = SopInstance(row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid)
            yield Item(instance, place_of(row), row.digest)
        for members in self.received:
            for instance, place, digest in members.each():
                yield Item(instance, place, digest)


def select(held: Holdings, identifier: Identifier) -> Selection:
    """Return what an Identifier names. Raises LedgerError, IntegrityError."""
    selection = Selection()
    with held.ledger.reading() as session:
        ids = narrow.study_ids(session, _narrowing(identifier), received=True)
        studies = [one for one in queries.studies(session, ids) if _is_named(one, identifier)]
    for study in studies:
        _add(held, selection, study.id, identifier)
    return selection


def _add(held: Holdings, selection: Selection, study_id: int, identifier: Identifier) -> None:
    series_uids = set(identifier.values("SeriesInstanceUID"))
    wanted = set(identifier.values("SOPInstanceUID"))
    with held.ledger.reading() as session:
        if identifier.level <= Level.STUDY:
            selection.derived += queries.derived(session, study_id)
            return
        named = {
            one.series_instance_uid
            for one in queries.received_series(session, [study_id])
            if not series_uids or one.series_instance_uid in series_uids
        }
        packs = queries.pack_keys(session, study_id, named)
        if identifier.level is Level.SERIES:
            selection.derived += queries.derived(session, study_id, series_uids - named)
            selection.received += originals.members(held.settings.home, packs)
            return
        rows = queries.derived(session, study_id, series_uids or None)
    chosen = [one for one in rows if one.sop_instance_uid in wanted]
    selection.derived += chosen
    wanted -= {one.sop_instance_uid for one in chosen}
    if wanted:
        selection.received += originals.members(held.settings.home, packs, wanted)


def _narrowing(identifier: Identifier) -> Narrowing:
    patients: Sequence[str] = identifier.values("PatientID")
    return Narrowing(
        texts={"PatientID": tuple(patients)} if patients else {},
        study_instance_uids=identifier.values("StudyInstanceUID"),
        series_instance_uids=identifier.values("SeriesInstanceUID"),
    )


def _is_named(study: queries.HeldStudy, identifier: Identifier) -> bool:
    patients = identifier.values("PatientID")
    uids = identifier.values("StudyInstanceUID")
    return (not patients or study.patient_id in patients) and (
        not uids or study.study_instance_uid in uids
    )
