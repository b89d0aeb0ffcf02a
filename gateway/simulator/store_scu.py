"""C-STORE as a capsule workstation does it: one association, one presentation context."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import Peer, Proposal
from gateway.dimse.store_scu import SopInstance, StoreScu
from gateway.simulator.study import SOP_CLASS_UID, TRANSFER_SYNTAX_UID

TIMEOUTS = Timeouts(connect_s=10, associate_s=10, message_s=60)


class StoreAssociation:
    """An established association for VL Endoscopic in JPEG Baseline, used from one thread."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._scu = StoreScu(association)

    def store(self, sop_instance_uid: str, data_set: bytes) -> int:
        """Send one instance and return the peer's status.

        Raises OutcomeUnknown if no answer can be had: the peer may have the instance or not.
        """
        instance = SopInstance(SOP_CLASS_UID, sop_instance_uid, TRANSFER_SYNTAX_UID)
        return self._scu.store(instance, io.BytesIO(data_set), len(data_set))

    def abort(self) -> None:
        self._association.abort()


@contextmanager
def store_association(
    *, host: str, port: int, calling_ae_title: str, called_ae_title: str
) -> Iterator[StoreAssociation]:
    """Open an association; release it at the end, or abort it on any error.

    Raises PeerUnreachable, AssociationRejected or ContextNotAccepted before anything is sent.
    """
    peer = Peer(called_ae_title, host, port, calling_ae_title)
    needed = Proposal(SOP_CLASS_UID, (TRANSFER_SYNTAX_UID,))
    with open_association(peer, [needed], timeouts=TIMEOUTS) as association:
        association.context(needed)
        try:
            yield StoreAssociation(association)
        except BaseException:
            association.abort()
            raise
