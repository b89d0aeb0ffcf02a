"""Who may associate, decided from what the ledger knows."""

import pytest

from gateway.ledger.schema import Source
from gateway.scp.admission import decide

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
