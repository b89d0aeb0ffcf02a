"""Taking back what was delivered under an identity that was corrected since."""

from collections.abc import Callable

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import corrections as queries
from gateway.ledger.queries import registry, studies
from gateway.ledger.queries.corrections import Outstanding
from gateway.ledger.schema import Study
from gateway.ledger.transitions.corrections import RejectionNote
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import DerivedRole
from gateway.settings import Settings
from workers import derived_files, rejection_note
from workers.derived_files import Batch
from workers.dicom_objects import Reference, SourceStudy
from workers.rejection_note import Occasion


def make_notes(
    settings: Settings, ledger: Ledger, study_id: int, heartbeat: Callable[[], None]
) -> list[RejectionNote]:
    """Make a note for every destination that holds instances under an earlier identity.

    The files are durable when this returns; most studies need none. Raises StorageError.
    """
    with ledger.reading() as session:
        study = studies.get(session, study_id)
        owed = queries.outstanding(session, study_id)
        names = {one.id: one.name for one in registry.destinations(session)}
        given = len(queries.notes(session, study_id)) if owed else 0
    return [
        _make(settings, study, one, (given + number, names[one.destination_id]), heartbeat)
        for number, one in enumerate(owed, start=1)
    ]


def _make(
    settings: Settings,
    study: Study,
    owed: Outstanding,
    occasion: tuple[int, str],
    heartbeat: Callable[[], None],
) -> RejectionNote:
    before = SourceStudy(
        settings.tenant,
        owed.correction.study_instance_uid_before,
        study.received_at,
        owed.correction.attributes_before,
    )
    number, audience = occasion
    rejected = [
        Reference(one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid)
        for one in owed.instances
    ]
    made = rejection_note.make(
        before, Occasion(number, owed.correction.at, owed.correction.reason, audience), rejected
    )
    file_name = f"{made.reference.sop_instance_uid}.dcm"
    directory = settings.derived_dir / before.study_instance_uid
    with Batch(directory, heartbeat) as batch:
        written = batch.add(file_name, made.contents)
    instance = DerivedInstance(
        role=DerivedRole.REJECTION_NOTE,
        number=number,
        series_instance_uid=made.reference.series_instance_uid,
        sop_class_uid=made.reference.sop_class_uid,
        sop_instance_uid=made.reference.sop_instance_uid,
        transfer_syntax_uid=made.transfer_syntax_uid,
        storage_key=derived_files.storage_key(before.study_instance_uid, file_name),
        size_bytes=written.size_bytes,
        frame_count=0,
        digest=written.digest,
    )
    about = dict.fromkeys(one.derived_id for one in owed.instances)
    return RejectionNote(instance, owed.destination_id, list(about))
