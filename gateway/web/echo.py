"""C-ECHO: does a destination answer (PS3.4 Annex A)? The answer in words, for the console."""

import socket
import time
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, evt

from gateway.network import tune_association

VERIFICATION = "1.2.840.10008.1.1"
TIMEOUT_S = 5.0
_REJECT_RESULTS = {1: "for good", 2: "for now"}
_REJECT_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "it does not know this application context",
    (1, 3): "it does not know our AE title",
    (1, 7): "it does not know the AE title we called",
    (2, 1): "no reason given",
    (2, 2): "it does not support our protocol version",
    (3, 1): "it is congested",
    (3, 2): "its limit of associations is reached",
}
"""A-ASSOCIATE-RJ source and reason/diagnostic, PS3.8 9.3.4."""


@dataclass(frozen=True)
class Echo:
    ok: bool
    detail: str


def echo(*, calling: str, called: str, host: str, port: int, timeout_s: float = TIMEOUT_S) -> Echo:
    """Ask a DICOM peer for a C-ECHO response and say what came of it. Never raises."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(VERIFICATION)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    connected: list[Any] = []
    handlers: list[Any] = [
        (evt.EVT_CONN_OPEN, tune_association),
        (evt.EVT_CONN_OPEN, connected.append),
    ]
    started = time.monotonic()
    try:
        assoc = ae.associate(host, port, ae_title=called, evt_handlers=handlers)
    except OSError as error:  # a host name that does not resolve
        return Echo(False, f"{host} cannot be reached: {_reason(error)}.")
    if not assoc.is_established:
        return Echo(False, _not_established(assoc, connected=bool(connected), host=host, port=port))
    try:
        status = assoc.send_c_echo()
    except RuntimeError:  # pynetdicom: the association went away under the request
        return Echo(False, "It took the association and broke it off.")
    elapsed_ms = (time.monotonic() - started) * 1000
    if "Status" not in status:
        assoc.abort()
        return Echo(False, f"It took the association and did not answer within {timeout_s:.0f} s.")
    assoc.release()
    if status.Status != 0x0000:
        return Echo(False, f"It answered C-ECHO with the status {status.Status:04X}.")
    return Echo(True, f"Answered in {elapsed_ms:.0f} ms.")


def _not_established(assoc: Any, *, connected: bool, host: str, port: int) -> str:
    if assoc.is_rejected:
        primitive = assoc.acceptor.primitive
        result = _REJECT_RESULTS.get(primitive.result, "")
        reason = _REJECT_REASONS.get(
            (primitive.result_source, primitive.diagnostic), f"reason {primitive.diagnostic}"
        )
        return f"It refused the association {result}: {reason}."
    if assoc.rejected_contexts:
        return "It takes associations from us, but not the Verification SOP Class."
    if connected:
        return "It took the connection and broke it off: is this a DICOM port, without TLS?"
    return f"No connection to {host}:{port}: {_why_no_connection(host, port)}."


def _why_no_connection(host: str, port: int) -> str:
    """Connect once more to learn what pynetdicom keeps to itself: refused, or silent."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError as error:
        return _reason(error)
    return "it came too late"


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer; a firewall, or a wrong address"
    if isinstance(error, ConnectionRefusedError):
        return "the host is there, and nothing listens on this port"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    return (error.strerror or "the network does not lead there").lower()
