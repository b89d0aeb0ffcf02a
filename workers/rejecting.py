"""Taking back what was delivered and no longer holds."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import corrections as queries
from gateway.ledger.queries import registry, studies
from gateway.ledger.queries.corrections import Held, Outstanding
from gateway.ledger.schema import Study
from gateway.ledger.transitions.corrections import RejectionNote
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import DerivedRole
from gateway.settings import Settings
from workers import derived_files, rejection_note
from workers.derived_files import Batch
from workers.dicom_objects import Reference, SourceStudy
from workers.rejection_note import Occasion
from workers.source_study import source_study


def make_notes(
    settings: Settings,
    ledger: Ledger,
    study_id: int,
    made: Collection[str],
    heartbeat: Callable[[], None],
) -> list[RejectionNote]:
    """Make a note for every destination that holds what no longer holds: instances under an
    earlier identity, or such as later frames replaced.

    made: SOP Instance UIDs of the summary that is about to be recorded. The files are durable
    when this returns; most studies need none. Raises StorageError.
    """
    with ledger.reading() as session:
        study = studies.get(session, study_id)
        owed = queries.outstanding(session, study_id)
        obsolete = queries.superseded(session, study_id, made)
        names = {one.id: one.name for one in registry.destinations(session)}
        given = len(queries.notes(session, study_id)) if owed or obsolete else 0
    notes = [
        _corrected(settings, study, one, (given + number, names[one.destination_id]))
        for number, one in enumerate(owed, start=1)
    ]
    notes += [
        _superseded(settings, study, one, (given + len(owed) + number, names[one[0]]))
        for number, one in enumerate(obsolete.items(), start=1)
    ]
    return [_written(settings, one, heartbeat) for one in notes]


@dataclass(frozen=True)
class _Note:
    destination_id: int
    study: SourceStudy
    occasion: Occasion
    instances: Sequence[Held]


def _corrected(
    settings: Settings, study: Study, owed: Outstanding, known_as: tuple[int, str]
) -> _Note:
    number, audience = known_as
    correction = owed.correction
    before = SourceStudy(
        settings.tenant,
        correction.study_instance_uid_before,
        study.received_at,
        correction.attributes_before,
    )
    occasion = Occasion(number, correction.at, correction.reason, audience)
    return _Note(owed.destination_id, before, occasion, owed.instances)


def _superseded(
    settings: Settings, study: Study, owed: tuple[int, Sequence[Held]], known_as: tuple[int, str]
) -> _Note:
    number, audience = known_as
    occasion = Occasion(number, study.last_received_at, "", audience, rejection_note.SUPERSEDED)
    return _Note(owed[0], source_study(settings, study), occasion, owed[1])


def _written(settings: Settings, note: _Note, heartbeat: Callable[[], None]) -> RejectionNote:
    rejected = [
        Reference(one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid)
        for one in note.instances
    ]
    made = rejection_note.make(note.study, note.occasion, rejected)
    study_uid, number = note.study.study_instance_uid, note.occasion.number
    file_name = f"{made.reference.sop_instance_uid}.dcm"
    directory = settings.derived_dir / study_uid
    with Batch(directory, heartbeat) as batch:
        written = batch.add(file_name, made.contents)
    instance = DerivedInstance(
        role=DerivedRole.REJECTION_NOTE,
        number=number,
        series_instance_uid=made.reference.series_instance_uid,
        sop_class_uid=made.reference.sop_class_uid,
        sop_instance_uid=made.reference.sop_instance_uid,
        transfer_syntax_uid=made.transfer_syntax_uid,
        storage_key=derived_files.storage_key(study_uid, file_name),
        size_bytes=written.size_bytes,
        frame_count=0,
        digest=written.digest,
    )
    about = dict.fromkeys(one.derived_id for one in note.instances)
    return RejectionNote(instance, note.destination_id, list(about))
