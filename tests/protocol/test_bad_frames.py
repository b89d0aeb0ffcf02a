"""Bad frames inside a good study: each has its row, and the rest of the study completes."""

from datetime import UTC, datetime, timedelta

from pydicom.encaps import encapsulate

from gateway.ledger.queries import studies
from gateway.model import DerivedRole, Disposition, StudyState
from gateway.packs.multiframe import MultiFrameFile
from tests.instances import SERIES_UID, data_set, encoded, frame, jpeg
from tests.requestor import Requestor
from workers import summarising, wrapping
from workers.sweep import sweep

GOOD = range(1, 31)


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def test_every_bad_frame_has_a_row_and_the_rest_of_the_study_completes(listener):
    truncated = data_set(31, PixelData=encapsulate([jpeg(31)[:-150]]))
    other_size = data_set(32, Rows=48, Columns=48, PixelData=encapsulate([jpeg(32, 48, 48)]))
    mislabelled = data_set(33, Rows=999)
    with Requestor(listener.port) as assoc:
        for number in GOOD:
            assert assoc.store(uid(number), frame(number)) == 0
        for number, ds in ((31, truncated), (32, other_size), (33, mislabelled)):
            assert assoc.store(uid(number), encoded(ds)) == 0
        assert assoc.store(uid(1), frame(1, InstanceNumber=7)) == 0xA901
        assert assoc.store(uid(34), b"\x08\x00\x16\x00ZZnoise") == 0xC000
        assert assoc.store("../../1", frame(35)) == 0x0117
    settings, ledger = listener.settings, listener.ledger
    later = datetime.now(UTC) + timedelta(minutes=1)
    for _ in ("wrap", "summarise"):
        messages: list[tuple[str, int, int]] = []
        sweep(settings, ledger, lambda *one, to=messages: to.append(one), now=later)
        ((task, study_id, attempt),) = messages
        step = {"wrap": wrapping.wrap, "summarise": summarising.summarise}[task]
        step(settings, ledger, study_id, attempt, now=lambda: later)
    with ledger.reading() as session:
        line = studies.line(session, 1)
        rows = {(row.code, row.disposition) for row in studies.quarantine(session)}
        parts = [one for one in studies.derived(session, 1) if one.role is DerivedRole.FRAMES]
    assert line.study.state is StudyState.READY
    assert rows == {
        ("frame.truncated", Disposition.EXCLUDED),
        ("frame.size-disagrees", Disposition.EXCLUDED),
        ("frame.other-size", Disposition.SET_APART),
        ("receive.conflict", Disposition.REFUSED),
        ("receive.undecodable", Disposition.REFUSED),
        ("receive.invalid-uid", Disposition.REFUSED),
    }
    assert sorted(one.frame_count for one in parts) == [1, 30]
    assert line.study.report["excluded_count"] == 2
    (main,) = (one for one in parts if one.frame_count == 30)
    wrapped = MultiFrameFile(settings.home / main.storage_key)
    frames = [wrapped.read_frame(index).rstrip(b"\0") for index in range(30)]
    assert frames == [jpeg(number).rstrip(b"\0") for number in GOOD]
    wrapped.close()
