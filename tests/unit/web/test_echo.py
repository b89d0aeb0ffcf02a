"""C-ECHO against real AEs and real silence: each outcome has its words."""

import socket
from contextlib import contextmanager

import pytest
from pynetdicom import AE, evt

from gateway.web.echo import echo

VERIFICATION = "1.2.840.10008.1.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


@contextmanager
def acceptor(*, context=VERIFICATION, status=0x0000, called="", callers=()):
    """Yield the port of an AE that answers C-ECHO with this status."""
    ae = AE(ae_title="PACS")
    ae.add_supported_context(context)
    ae.require_called_aet = bool(called)
    ae.require_calling_aet = list(callers)
    handlers = [(evt.EVT_C_ECHO, lambda _: status)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def ask(port, *, called="PACS", timeout_s=5.0):
    return echo(
        calling="CAPSULEGW", called=called, host="127.0.0.1", port=port, timeout_s=timeout_s
    )


def test_a_peer_that_answers_is_well():
    with acceptor() as port:
        found = ask(port)
    assert found.ok
    assert found.detail.startswith("Answered in ")


@pytest.mark.parametrize(
    ("required", "called", "words"),
    [
        ({"called": "PACS"}, "OTHER", "it does not know the AE title we called"),
        ({"callers": ["SOMEBODY"]}, "PACS", "it does not know our AE title"),
    ],
)
def test_a_refusal_names_the_ae_title_to_correct(required, called, words):
    with acceptor(**required) as port:
        found = ask(port, called=called)
    assert not found.ok
    assert words in found.detail


def test_a_status_other_than_success_is_told():
    with acceptor(status=0x0122) as port:
        found = ask(port)
    assert not found.ok
    assert "0122" in found.detail


def test_a_port_where_nothing_listens_is_told_from_a_silent_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = ask(free.getsockname()[1])
    assert not found.ok
    assert "nothing listens on this port" in found.detail


def test_a_peer_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = ask(silent.getsockname()[1], timeout_s=0.5)
    assert not found.ok
    assert "is this a DICOM port" in found.detail


def test_a_name_that_does_not_resolve_is_told():
    found = echo(calling="A", called="B", host="no-such-host.invalid", port=104, timeout_s=2)
    assert not found.ok
    assert "not known" in found.detail or "cannot be reached" in found.detail


def test_a_peer_without_verification_is_told():
    with acceptor(context=CT_STORAGE) as port:
        found = ask(port)
    assert not found.ok
    assert "Verification" in found.detail
