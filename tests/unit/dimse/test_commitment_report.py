"""Storage Commitment reports: what they say, and what we make of broken ones."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, VL_ENDOSCOPIC
from gateway.dimse.commitment import read_report
from gateway.errors import Undecodable


def reference(uid, reason=None):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = VL_ENDOSCOPIC, uid
    if reason is not None:
        item.FailureReason = reason
    return item


def event(*, committed=(), failed=(), transaction_uid="2.25.1"):
    ds = Dataset()
    if transaction_uid:
        ds.TransactionUID = transaction_uid
    if committed:
        ds.ReferencedSOPSequence = [reference(uid) for uid in committed]
    if failed:
        ds.FailedSOPSequence = [reference(uid, reason) for uid, reason in failed]
    return ds


@pytest.mark.parametrize("implicit", [True, False])
def test_committed_and_failed_instances_are_read(implicit):
    data = encode(event(committed=["1.2", "1.3"], failed=[("1.4", 0x0112)]), implicit, True)
    report = read_report(data, IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE)
    assert report.transaction_uid == "2.25.1"
    assert report.committed == {"1.2", "1.3"}
    assert report.failed == {"1.4": "no such object instance"}


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x0110, "processing failure"), (0xBEEF, "reason BEEF"), (None, "no reason given")],
)
def test_every_failure_reason_has_words(code, words):
    report = read_report(encode(event(failed=[("1.4", code)]), False, True), EXPLICIT_LITTLE)
    assert report.failed == {"1.4": words}


def test_an_instance_in_both_lists_is_not_committed():
    data = encode(event(committed=["1.2"], failed=[("1.2", 0x0110)]), False, True)
    report = read_report(data, EXPLICIT_LITTLE)
    assert (report.committed, set(report.failed)) == (frozenset(), {"1.2"})


def test_a_report_that_names_no_request_is_refused():
    with pytest.raises(Undecodable, match="Transaction UID"):
        read_report(encode(event(transaction_uid=""), False, True), EXPLICIT_LITTLE)


@pytest.mark.filterwarnings("ignore")  # pydicom about each invalid value it meets
@given(st.data())
def test_no_bytes_make_reading_raise_anything_but_undecodable(data):
    content = bytearray(encode(event(committed=["1.2"], failed=[("1.4", 1)]), False, True))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    syntax = data.draw(
        st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, "1.2.840.10008.1.2.1.99"])
    )
    with contextlib.suppress(Undecodable):
        read_report(bytes(content[: data.draw(st.integers(0, len(content)))]), syntax)
