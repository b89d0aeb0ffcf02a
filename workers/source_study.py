"""The study our instances are made for, from its row: under the identity that holds now."""

from gateway.ledger.schema import Study
from gateway.settings import Settings
from workers.dicom_objects import SourceStudy


def source_study(settings: Settings, study: Study) -> SourceStudy:
    """Return it; given to another patient, it has a Study Instance UID of its own there."""
    return SourceStudy(
        tenant=settings.tenant,
        study_instance_uid=study.delivered_uid or study.study_instance_uid,
        received_at=study.received_at,
        attributes=study.attributes,
    )
