"""Correcting whose study it is, from the console and the command line alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.dicom import correction, identity
from gateway.dicom.correction import CorrectedIdentity
from gateway.errors import ConfigurationError, NotFound
from gateway.ledger.engine import Ledger, Session
from gateway.ledger.queries import corrections as queries
from gateway.ledger.queries import studies
from gateway.ledger.schema import Study
from gateway.ledger.transitions import corrections as transitions

REASON_LENGTH_MIN = 3
_OF_THE_PATIENT = ("PatientName", "PatientBirthDate", "PatientSex")


@dataclass(frozen=True)
class Warrant:
    """Who corrects, why, and when."""

    actor: str
    reason: str
    at: datetime

    def check(self) -> None:
        """Raise ConfigurationError without a reason."""
        if len(self.reason.strip()) < REASON_LENGTH_MIN:
            raise ConfigurationError("A correction needs a reason, in a few words.")


def correct_study(
    ledger: Ledger, tenant: str, study_id: int, wanted: Mapping[str, str], warrant: Warrant
) -> list[str]:
    """Correct a study; returns the keywords that changed.

    wanted: keyword of gateway.dicom.correction.CORRECTABLE to value; what is absent stays.
    Raises ConfigurationError (nothing to change, no reason, an illegal value), TransitionRefused.
    """
    warrant.check()
    with ledger.transaction() as session:
        study = studies.get(session, study_id)
        return sorted(_correct(session, study, wanted, tenant, warrant).changes)


def merge_patient(
    ledger: Ledger, tenant: str, from_patient_id: str, into_patient_id: str, warrant: Warrant
) -> int:
    """Give every study of one patient to another; returns how many there were.

    Name, birth date and sex become those of the other patient's latest study here, if there is
    one. All in one transaction: either every study goes over, or none.
    Raises NotFound if the first patient has no study, and what correct_study raises. Studies
    without a Patient ID are no one patient's: they are corrected one by one.
    """
    warrant.check()
    if not from_patient_id:
        raise ConfigurationError(
            "Studies without a Patient ID may be of different patients: correct each by itself."
        )
    if from_patient_id == into_patient_id:
        raise ConfigurationError("These are the same Patient ID.")
    with ledger.transaction() as session:
        found = queries.of_patient(session, from_patient_id)
        if not found:
            raise NotFound("There is no study with this Patient ID.")
        wanted = {"PatientID": into_patient_id}
        for other in queries.of_patient(session, into_patient_id)[:1]:
            said = identity.as_dataset(other.attributes)
            wanted |= {keyword: str(said.get(keyword) or "") for keyword in _OF_THE_PATIENT}
        for study in found:
            _correct(session, study, wanted, tenant, warrant)
    return len(found)


def _correct(
    session: Session, study: Study, wanted: Mapping[str, str], tenant: str, warrant: Warrant
) -> CorrectedIdentity:
    earlier = queries.history(session, study.id)
    first = earlier[0].attributes_before if earlier else study.attributes
    received_id = str(identity.as_dataset(first).get("PatientID") or "")
    corrected = correction.correct(
        study.attributes,
        wanted,
        received=(study.study_instance_uid, received_id),
        tenant=tenant,
        at=warrant.at,
    )
    transitions.correct(
        session, study.id, attributes=corrected.attributes, changes=corrected.changes,
        delivered_uid=corrected.study_instance_uid, reason=warrant.reason.strip(),
        now=warrant.at, actor=warrant.actor,
    )  # fmt: skip
    return corrected
