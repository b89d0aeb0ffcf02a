"""A busy day in the ledger, for the screenshots: every state, every kind of trouble."""

from datetime import timedelta

from gateway.errors import InstancesRefused, NoFrames, PeerUnreachable
from gateway.ledger.transitions import reception, registry
from gateway.model import AssociationOutcome, Disposition, QuarantineNote, SettleRule
from gateway.status import in_words
from tests.browser.filling import Filling

ROOT = "1.2.826.0.1.3680043.10.1593"
PATIENTS = (
    ("Synthetic^Alpha", "SYN-0101", "SYNACC0101", "F", "19580314"),
    ("Synthetic^Bravo^Long", "SYN-0102", "SYNACC0102", "M", "19711102"),
    ("Synthetic^Charlie=合成^丙", "SYN-0103", "SYNACC0103", "M", "19660729"),
    ("Synthetic^Delta^^Mme", "SYN-0104", "SYNACC0104", "F", "19490806"),
    ("Synthetic^Echo=合成^戊=ごうせい^えこ", "SYN-0105", "SYNACC0105", "M", "19830421"),
    ("Synthetic^Foxtrot", "SYN-0106", "SYNACC0106", "F", "19771213"),
    ("Synthetic^Gólf", "SYN-0107", "SYNACC0107", "F", "19520130"),
    ("Synthetic^Hotel", "SYN-0108", "SYNACC0108", "M", "19900505"),
)


def fill(filling: Filling) -> dict[str, int]:
    """Write the day, which ends at filling.now; returns studies and transfers by name."""
    end = filling.now
    filling.now = end - timedelta(hours=7)
    _registry(filling)
    found: dict[str, int] = {}
    for number, frames in ((7, 41_206), (6, 58_914), (5, 36_770)):
        _identity_ready(filling, number, frames, found)
        filling.deliver_all(found[f"ready-{number}"])
        filling.later(2100)
    _with_gaps(filling, found, end)
    _failed_study(filling, end)
    _failed_transfer(filling, found, end)
    _sending(filling, found, end)
    _receiving(filling, found, end)
    filling.now = end
    return found


def identity(number: int) -> dict[str, str]:
    name, patient_id, accession, sex, born = PATIENTS[number]
    return {
        "name": name,
        "patient_id": patient_id,
        "accession_number": accession,
        "patient_sex": sex,
        "patient_birth_date": born,
        "study_date": "20261123",
        "study_time": "074512",
        "study_description": "Small bowel capsule endoscopy",
        "source": "CAPSULE_WS2" if number % 3 == 1 else "CAPSULE_WS1",
    }


def _registry(filling: Filling) -> None:
    with filling.ledger.transaction() as session:
        for ae_title, host, description in (
            ("CAPSULE_WS1", "10.20.4.31", "Endoscopy, reading room 1"),
            ("CAPSULE_WS2", "10.20.4.32", "Endoscopy, reading room 2"),
        ):
            registry.add_source(
                session,
                ae_title,
                now=filling.now,
                actor="admin",
                host=host,
                description=description,
            )
        for name, ae_title, host, port, commitment in (
            ("Main PACS", "HOSPITAL_PACS", "pacs.hospital.example", 104, True),
            ("Research archive", "RESEARCH_VNA", "10.20.9.80", 11112, False),
            ("Teaching", "TEACH01", "10.20.9.91", 104, False),
        ):
            registry.add_destination(
                session,
                name,
                ae_title=ae_title,
                host=host,
                port=port,
                commitment=commitment,
                route_all=name == "Main PACS",
                now=filling.now,
                actor="admin",
            )
        registry.add_route(
            session,
            "Research archive",
            source_ae_title="CAPSULE_WS2",
            now=filling.now,
            actor="admin",
        )
        registry.edit_destination(
            session, "Teaching", now=filling.now, actor="admin", enabled=False
        )
        at = filling.now + timedelta(hours=6, minutes=50)
        registry.record_echo(session, "Main PACS", ok=True, detail="Answered in 14 ms.", now=at)
        registry.record_echo(
            session,
            "Research archive",
            ok=False,
            detail="It refused the association for good: it does not know our AE title.",
            now=at,
        )
        for tries in range(3):
            reception.reject_association(
                session,
                f"f{tries:031x}",
                calling="OMOM_RM3",
                called="CAPSULEGW",
                peer="10.20.4.47:51820",
                reason="this calling AE title is not a source",
                now=filling.now + timedelta(hours=6, minutes=20 + 9 * tries),
            )


def _identity_ready(filling: Filling, number: int, frames: int, found: dict[str, int]) -> None:
    found[f"ready-{number}"] = filling.ready(
        f"{ROOT}.{number}.20261123.7", frames, key_frame_count=100, **identity(number)
    )


def _with_gaps(filling: Filling, found: dict[str, int], end: object) -> None:
    gaps = [
        {"after_frame_number": 18_204, "missing_count": 31, "duration_ms": 8200},
        {"after_frame_number": 40_377, "missing_count": 4, "duration_ms": 1900},
    ]
    report = {
        "received_count": 52_333,
        "gap_count": 2,
        "gaps": gaps,
        "duplicate_count": 12,
        "excluded_count": 3,
    }
    uid = f"{ROOT}.4.20261123.7"
    study_id = filling.ready(uid, 52_318, key_frame_count=100, report=report, **identity(4))
    found["gaps"] = study_id
    with filling.ledger.transaction() as session:
        for number, reason in (
            (18_204, "the JPEG stream is truncated"),
            (18_206, "the JPEG stream is truncated"),
            (40_378, "the JPEG stream has another size than Rows and Columns say"),
        ):
            note = QuarantineNote(
                code="frame.fault",
                reason=f"Frame {number:,}: {reason}.",
                disposition=Disposition.EXCLUDED,
                status=0x0000,
                calling_ae_title="CAPSULE_WS2",
                study_instance_uid=uid,
                sop_instance_uid=f"{uid}.{number}",
                size_bytes=9_120,
            )
            reception.quarantine(session, note, now=filling.now)
        conflict = QuarantineNote(
            code="receive.conflict",
            reason="This SOP Instance UID is already stored with other contents.",
            disposition=Disposition.REFUSED,
            status=0xA901,
            calling_ae_title="CAPSULE_WS1",
            study_instance_uid=f"{ROOT}.6.20261123.7",
            sop_instance_uid=f"{ROOT}.6.20261123.7.1.204",
            storage_key="quarantine/2026-11-23/7f3a91c2.dcm",
            size_bytes=23_880,
        )
        reception.quarantine(session, conflict, now=filling.now)
    filling.deliver_all(study_id)


def _failed_study(filling: Filling, end: object) -> None:
    filling.now = end - timedelta(minutes=64)
    study_id = filling.receive(
        f"{ROOT}.3.20261123.7", 212, outcome=AssociationOutcome.ABORTED, **identity(3)
    )
    filling.later(300)
    filling.settle(study_id, SettleRule.QUIET_AFTER_ABORT)
    filling.later(1)
    filling.fail(
        study_id, NoFrames("None of the 212 instances holds a picture that can be wrapped.")
    )


def _failed_transfer(filling: Filling, found: dict[str, int], end: object) -> None:
    filling.now = end - timedelta(minutes=38)
    study_id = filling.ready(f"{ROOT}.2.20261123.7", 47_655, key_frame_count=100, **identity(2))
    found["not-sent"] = study_id
    (transfer_id,) = filling.transfers_of(study_id)
    found["failed-transfer"] = transfer_id
    status = 0xA900
    filling.fail_transfer(
        transfer_id,
        InstancesRefused(
            f"Main PACS refused 1 of 126 instances: {in_words(status)}.",
            remedy="Compare the refused instance with what Main PACS accepts, then retry.",
        ),
        refused=status,
        after=7,
    )


def _sending(filling: Filling, found: dict[str, int], end: object) -> None:
    filling.now = end - timedelta(minutes=3)
    study_id = filling.ready(f"{ROOT}.1.20261123.7", 61_042, key_frame_count=100, **identity(1))
    found["sending"] = study_id
    main, research = filling.transfers_of(study_id)
    attempt = filling.claim_transfer(main)
    filling.acknowledge(main, attempt, 58)
    filling.now = end - timedelta(seconds=25)
    filling.fail_transfer(
        research, PeerUnreachable("Research archive does not answer at 10.20.9.80:11112.")
    )


def _receiving(filling: Filling, found: dict[str, int], end: object) -> None:
    filling.now = end - timedelta(seconds=1)
    found["receiving"] = filling.receive(
        f"{ROOT}.0.20261123.7", 31_877, finished=False, declared=55_000, **identity(0)
    )
