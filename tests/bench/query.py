"""How fast C-FIND answers with 100,000 studies in the ledger: `python -m tests.bench.query`.

Every question goes over an association on loopback, by the SCU of our own, and is timed from
the request to the last response. PostgreSQL is measured too where one is given.
"""

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import Dataset
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind
from sqlalchemy import insert, text

from gateway.dicom.storage_classes import (
    JPEG_BASELINE,
    KEY_OBJECT_SELECTION,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.dimse import find_scu
from gateway.dimse.association import open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import Peer
from gateway.ledger import migrate, search_keys
from gateway.ledger.engine import Ledger
from gateway.ledger.schema import Derived, Pack, Series, Study
from gateway.model import AssociationOutcome, DerivedRole, PackState, StudyState
from gateway.scp.server import ScpServer
from gateway.settings import Settings

STUDY_ROOT = StudyRootQueryRetrieveInformationModelFind
ROOT_UID = "1.2.826.0.1.3680043.9.7433.7"
FIRST_DAY = datetime(2016, 1, 1, tzinfo=UTC)
DAYS = 3650
ROUNDS = 60
BATCH = 5000
FAMILIES = ("Wang=王", "Li=李", "Zhang=张", "Müller", "Nowak", "García", "Sato=佐藤", "Smith")
GIVEN = ("Wei=伟", "Fang=芳", "Anna", "José", "Jan", "Yuki=雪", "Maria", "Tom")


@dataclass(frozen=True)
class Question:
    """make: an Identifier for a study number."""

    name: str
    make: Callable[[int], Dataset]


def name_of(number: int) -> str:
    family, _, family_2 = FAMILIES[number % len(FAMILIES)].partition("=")
    given, _, given_2 = GIVEN[number // 8 % len(GIVEN)].partition("=")
    ideographs = f"={family_2}^{given_2}" if family_2 and given_2 else ""
    return f"{family}{number // 64:05}^{given}{ideographs}"


def day_of(number: int) -> str:
    return f"{FIRST_DAY + timedelta(days=number * 7919 % DAYS):%Y%m%d}"


def fill(ledger: Ledger, count: int) -> None:
    """Write studies as they are when ready: a received series, two parts, a key frame, a KOS."""
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        with ledger.transaction() as session:
            for table, rows in (
                (Study, map(_study, numbers)),
                (Series, map(_series, numbers)),
                (Pack, map(_pack, numbers)),
                (Derived, (row for number in numbers for row in _derived(number))),
            ):
                session.execute(insert(table), list(rows))
    with ledger.transaction() as session:
        session.execute(text("ANALYZE"))


def _study(number: int) -> dict[str, object]:
    name = name_of(number)
    attributes = {
        "00200010": {"vr": "SH", "Value": [f"S{number}"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00080080": {"vr": "LO", "Value": ["Synthetic Hospital"]},
    }
    return {
        "id": number + 1, "study_instance_uid": f"{ROOT_UID}.{number}", "state": StudyState.READY,
        "patient_id": f"P{number // 2}", "patient_name": name, "patient_birth_date": "19600101",
        "patient_sex": "OFM"[number % 3], "accession_number": f"A{number}",
        "study_date": day_of(number), "study_time": f"{number % 24:02}{number % 60:02}00",
        "study_description": "Capsule endoscopy", "attributes": attributes,
        "received_at": FIRST_DAY, "last_received_at": FIRST_DAY, "state_changed_at": FIRST_DAY,
        **search_keys.of_study(name, attributes),
    }  # fmt: skip


def _series(number: int) -> dict[str, object]:
    uid = f"{ROOT_UID}.{number}.1"
    return {"id": number + 1, "study_id": number + 1, "series_instance_uid": uid, "modality": "ES"}


def _pack(number: int) -> dict[str, object]:
    return {
        "study_id": number + 1, "series_id": number + 1, "storage_key": f"packs/{number}.tar",
        "association_id": "a", "state": PackState.SEALED, "outcome": AssociationOutcome.RELEASED,
        "instance_count": 60_000, "opened_at": FIRST_DAY,
    }  # fmt: skip


def _derived(number: int) -> Iterator[dict[str, object]]:
    for place, (role, sop_class_uid, series) in enumerate(
        (
            (DerivedRole.FRAMES, VIDEO_ENDOSCOPIC, 2),
            (DerivedRole.FRAMES, VIDEO_ENDOSCOPIC, 2),
            (DerivedRole.KEY_FRAME, VL_ENDOSCOPIC, 901),
            (DerivedRole.KEY_OBJECTS, KEY_OBJECT_SELECTION, 900),
        )
    ):
        uid = f"{ROOT_UID}.{number}.{series}"
        yield {
            "study_id": number + 1, "revision": 1, "role": role, "number": place + 1,
            "series_instance_uid": uid, "sop_class_uid": sop_class_uid,
            "sop_instance_uid": f"{uid}.{place}", "transfer_syntax_uid": JPEG_BASELINE,
            "storage_key": f"derived/{uid}.{place}.dcm", "size_bytes": 1, "frame_count": 2000,
            "digest": "", "created_at": FIRST_DAY,
        }  # fmt: skip


def asking(level: str = "STUDY", **matching: Callable[[int], str]) -> Callable[[int], Dataset]:
    """Return a maker of identifiers: usual return keys, and the given ones to match."""
    usual = {
        "STUDY": (
            "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID",
            "AccessionNumber", "StudyInstanceUID", "StudyDescription", "ModalitiesInStudy",
            "ReferringPhysicianName", "NumberOfStudyRelatedInstances",
        ),
        "IMAGE": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames"),
    }[level]  # fmt: skip

    def make(number: int) -> Dataset:
        ds = Dataset()
        ds.SpecificCharacterSet, ds.QueryRetrieveLevel = "ISO_IR 192", level
        for keyword in usual:
            setattr(ds, keyword, "")
        for keyword, value in matching.items():
            setattr(ds, keyword, value(number))
        return ds

    return make


QUESTIONS = (
    Question("Study Instance UID", asking(StudyInstanceUID=lambda n: f"{ROOT_UID}.{n}")),
    Question("Patient ID", asking(PatientID=lambda n: f"P{n // 2}")),
    Question("Accession Number", asking(AccessionNumber=lambda n: f"A{n}")),
    Question("Study ID", asking(StudyID=lambda n: f"S{n}")),
    Question("name", asking(PatientName=lambda n: name_of(n).split("=")[0])),
    Question("name, other case, WANG00123*", asking(
        PatientName=lambda n: name_of(n).split("^")[0].upper() + "*"
    )),
    Question("day and modality", asking(StudyDate=day_of, ModalitiesInStudy=lambda _: "ES")),
    Question("two days", asking(StudyDate=lambda n: f"{day_of(n)}-{day_of(n)}")),
    Question("instances of a series", asking(
        "IMAGE", StudyInstanceUID=lambda n: f"{ROOT_UID}.{n}",
        SeriesInstanceUID=lambda n: f"{ROOT_UID}.{n}.2",
    )),
    Question("ideographs, 王伟 (many)", asking(
        PatientName=lambda _: "王伟", StudyDate=lambda n: day_of(n)[:6] + "01-" + day_of(n)
    )),
    Question("not indexed: *0123^*", asking(PatientName=lambda n: f"*{n // 64:05}^*")),
)  # fmt: skip


def measure(settings: Settings, ledger: Ledger, count: int, rounds: int) -> dict[str, dict]:
    """Return milliseconds and matches by question; each asked once before, unmeasured."""
    numbers = random.Random(1)  # the same ones every time
    figures = {}
    with ScpServer(settings, ledger) as server, _associated(server.port) as association:
        for question in QUESTIONS:
            taken, found, worked = [], [], []
            for _ in range(rounds):
                identifier = question.make(numbers.randrange(count))
                before, before_work = time.perf_counter(), time.process_time()
                matches = find_scu.find(association, STUDY_ROOT, identifier, matches_max=100_000)
                taken.append((time.perf_counter() - before) * 1000)
                worked.append((time.process_time() - before_work) * 1000)
                found.append(len(matches))
            taken.sort()
            figures[question.name] = {
                "median_ms": round(statistics.median(taken), 1),
                "p99_ms": round(taken[min(len(taken) - 1, int(len(taken) * 0.99))], 1),
                "median_cpu_ms": round(statistics.median(worked), 1),  # of both ends
                "matches": round(statistics.mean(found), 1),
            }
    return figures


@contextmanager
def _associated(port: int) -> Iterator[object]:
    peer = Peer("CAPSULEGW", "127.0.0.1", port, "WORKSTATION")
    with open_association(peer, [find_scu.proposal(STUDY_ROOT)], timeouts=Timeouts()) as one:
        yield one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--database-url", help="an empty database of PostgreSQL, to measure it")
    arguments = parser.parse_args()
    logging.disable()  # the files of these instances do not exist
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, url in (("sqlite", ""), ("postgresql", arguments.database_url)):
            if url is None:
                continue
            settings = Settings(
                home=Path(folder), dicom_host="127.0.0.1", dicom_port=0, database_url=url
            )
            ledger = Ledger(settings.ledger_url)
            migrate.upgrade(ledger)
            before = time.perf_counter()
            fill(ledger, arguments.studies)
            sys.stderr.write(f"{name}: filled in {time.perf_counter() - before:.0f} s\n")
            report[name] = measure(settings, ledger, arguments.studies, arguments.rounds)
            ledger.dispose()
    json.dump(report, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
