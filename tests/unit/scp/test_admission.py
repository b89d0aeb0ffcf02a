"""Who may associate, decided from what the ledger knows."""

import pytest

from gateway.ledger.schema import Source
from gateway.scp.admission import check_count, decide

KNOWN = Source(ae_title="KNOWN", host="", enabled=True)
BOUND = Source(ae_title="BOUND", host="10.0.0.7", enabled=True)
OFF = Source(ae_title="OFF", host="", enabled=False)


@pytest.mark.parametrize(
    ("calling", "address", "sources", "admitted"),
    [
        ("ANY", "127.0.0.1", [], True),
        ("ANY", "::1", [], True),
        ("ANY", "10.0.0.9", [], False),
        ("ANY", "127.0.0.1", [KNOWN], False),
        ("KNOWN", "10.0.0.9", [KNOWN], True),
        ("BOUND", "10.0.0.7", [BOUND], True),
        ("BOUND", "10.0.0.8", [BOUND], False),
        ("OFF", "10.0.0.7", [OFF], False),
        ("PACS", "10.0.0.7", [KNOWN], True),  # a destination reporting a commitment
    ],
)
def test_admission(calling, address, sources, admitted):
    refusal = decide(
        calling=calling, called="GW", address=address, our_ae_title="GW",
        sources=sources, destination_ae_titles=["PACS"],
    )  # fmt: skip
    assert (refusal is None) == admitted
    assert refusal is None or refusal.words


@pytest.mark.parametrize(("open_count", "admitted"), [(0, True), (1, True), (2, False), (9, False)])
def test_of_one_source_no_more_than_its_number(open_count, admitted):
    refusal = check_count("KNOWN", open_count=open_count, associations_max=2)
    assert (refusal is None) == admitted
    # PS3.8 9.3.4: transient, service provider (presentation), local limit exceeded
    assert refusal is None or (refusal.result, refusal.source, refusal.reason) == (2, 3, 2)
