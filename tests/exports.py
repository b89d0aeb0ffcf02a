"""Builders for tests of de-identification: a study full of identifiers, to be exported."""

from pathlib import Path

from pydicom import Dataset, dcmread

from gateway.deidentify.profile import Dates, Option, Profile, Region
from gateway.ledger.queries import outgoing
from gateway.ledger.queries import transfers as queries
from gateway.ledger.queries.outgoing import Outgoing
from gateway.ledger.schema import Derived, Transfer
from gateway.ledger.transitions import deidentification, registry, transfers
from gateway.model import DerivedRole, ItemState
from gateway.simulator import synthetic_frames
from tests.kept_studies import KeptStudy, clock
from tests.summaries import received, run, wrapped_study
from workers.deliver.deidentifying import Clearance, prepare

SECRETS = {
    "PatientName": "Zyxwv^Quentin=秦王^小东",
    "PatientID": "PID-778899",
    "IssuerOfPatientID": "ISSUER-X",
    "PatientBirthDate": "19580203",
    "AccessionNumber": "ACC-445566",
    "StudyID": "STU-9911",
    "InstitutionName": "Saint Elsewhere",
    "InstitutionalDepartmentName": "Gastro Nine",
    "StationName": "STATION-77",
    "DeviceSerialNumber": "SN-102938",
    "OperatorsName": "Operatov^Olga",
    "ReferringPhysicianName": "Referov^Rita",
    "StudyDescription": "Zyxwv Quentin capsule",
    "ProtocolName": "Protocol Zyxwv",
}
EXIF = b"\xff\xe1" + (2 + 40).to_bytes(2, "big") + b"Exif\0\0Zyxwv Quentin PID-778899".ljust(40)
COMMENT = b"\xff\xfe" + (2 + 20).to_bytes(2, "big") + b"serial SN-102938".ljust(20)


def marked(jpeg: bytes) -> bytes:
    """Return a stream with metadata behind its first marker, as cameras write it."""
    return jpeg[:2] + EXIF + COMMENT + jpeg[2:]


def exported(home: Path, profile: Profile, **settings: object) -> "Export":
    streams = [marked(one.jpeg) for one in synthetic_frames(24, seed=5, rows=96, columns=96)]
    study = wrapped_study(home, [received(streams, **SECRETS)], key_frames=4, **settings)
    with study.ledger.transaction() as session:
        registry.add_destination(
            session, "partner", ae_title="PARTNER", host="127.0.0.1", port=104, now=clock(),
            actor="test", route_all=True, deidentification_profile="study",
            pseudonym_domain="trial",
        )  # fmt: skip
        deidentification.set_profile(session, "study", profile.as_json(), now=clock(), actor="test")
    run(study)
    return Export(study)


class Export:
    """A claimed transfer to a destination with a profile."""

    def __init__(self, study: KeptStudy) -> None:
        self.study = study
        with study.ledger.reading() as session:
            self.transfer_id = session.query(Transfer).one().id
        self.attempt = self.claim()

    def claim(self) -> int:
        with self.study.ledger.transaction() as session:
            claim = transfers.claim(
                session, self.transfer_id, lease_s=600, attempts_max=9, now=clock()
            )
        return claim.attempt

    def prepare(self) -> Clearance:
        with self.study.ledger.reading() as session:
            line = queries.line(session, self.transfer_id)
        return prepare(
            self.study.settings, self.study.ledger, line, (self.transfer_id, self.attempt),
            now=clock, heartbeat=lambda: None,
        )  # fmt: skip

    def rows(self) -> list[Outgoing]:
        """Return what the transfer is about now."""
        states = [one for one in ItemState if one is not ItemState.LEFT_OUT]
        with self.study.ledger.reading() as session:
            return outgoing.in_state(session, self.transfer_id, states)

    def path(self, row: Outgoing | Derived) -> Path:
        return self.study.settings.home / row.storage_key

    def objects(self, role: DerivedRole) -> list[Dataset]:
        return [dcmread(self.path(row)) for row in self.rows() if row.role is role]


FULL = Profile(
    Dates.SHIFTED,
    frozenset({Option.PATIENT_CHARACTERISTICS, Option.DESCRIPTORS}),
    (Region(0, 0, 40, 12),),
)
"""Everything that can be asked for at once, with text in the upper left corner."""
