"""Sends a transfer: every instance the destination has not acknowledged yet, by C-STORE."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

from gateway import log
from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import CONTEXTS_MAX, Peer, Proposal
from gateway.dimse.store_scu import SopInstance, StoreScu
from gateway.dimse.stored import StoredInstance
from gateway.errors import (
    ContextNotAccepted,
    IntegrityError,
    ObjectMissing,
    PreflightFailed,
    SendError,
    StorageError,
    StoreRefused,
)
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import transfers as queries
from gateway.ledger.schema import Derived, Destination
from gateway.settings import Settings
from gateway.status import describe, in_words, is_stored
from workers.deliver.progress import Clock, Progress

CONNECT_TIMEOUT_S = 10.0
ASSOCIATE_TIMEOUT_S = 30.0
_PAGE = 200
"""Rows in memory at once: a transfer may have 100,000 items."""

_logger = log.get(__name__)


@dataclass(frozen=True)
class _Plan:
    """item_ids: those still to send, in order."""

    peer: Peer
    proposals: tuple[Proposal, ...]
    item_ids: deque[int]


def send(settings: Settings, ledger: Ledger, transfer_id: int, attempt: int, *, now: Clock) -> None:
    """Send what is still to send of a transfer under a claim, then declare it sent.

    1. Propose exactly the presentation contexts the instances need.
    2. Send each over one association; what is answered is recorded as it comes.
    3. An instance that is refused for good, damaged here, or fails the preflight is noted; the
       others go on.
    4. If none was, the transfer is sent.

    Raises InstancesRefused (permanent) after step 3; StoreRefused (transient), PeerUnreachable,
    AssociationRejected, OutcomeUnknown or a StorageError when the attempt ends early: what was
    acknowledged until then is not sent again. Raises StaleTransition if the claim is lost.
    """
    plan = _plan(settings, ledger, transfer_id)
    progress = Progress(settings, ledger, transfer_id, attempt, now)
    total = len(plan.item_ids)
    try:
        while plan.item_ids:
            _over_one_association(settings, ledger, plan, progress)
    except (SendError, StorageError):
        progress.record()
        raise
    progress.finish()
    _logger.info("deliver.sent", transfer=transfer_id, instances=total, peer=str(plan.peer))


def peer_of(settings: Settings, destination: Destination) -> Peer:
    return Peer(
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        calling_ae_title=settings.ae_title,
    )


def timeouts_of(settings: Settings) -> Timeouts:
    return Timeouts(CONNECT_TIMEOUT_S, ASSOCIATE_TIMEOUT_S, settings.dimse_timeout_s)


def _plan(settings: Settings, ledger: Ledger, transfer_id: int) -> _Plan:
    with ledger.reading() as session:
        kinds = queries.unsent_kinds(session, transfer_id)
        return _Plan(
            peer=peer_of(settings, queries.line(session, transfer_id).destination),
            proposals=tuple(Proposal(kind, (syntax,)) for kind, syntax in kinds[:CONTEXTS_MAX]),
            item_ids=deque(queries.unsent(session, transfer_id)),
        )


def _over_one_association(
    settings: Settings, ledger: Ledger, plan: _Plan, progress: Progress
) -> None:
    """Send until all is done, or until a damaged file has cost the association."""
    with open_association(
        plan.peer,
        plan.proposals,
        timeouts=timeouts_of(settings),
        beat=progress.beat,
        beat_s=progress.beat_s,
    ) as association:
        scu = StoreScu(association)
        while plan.item_ids and association.is_idle:
            page = list(islice(plan.item_ids, _PAGE))
            with ledger.reading() as session:
                derived = queries.derived_of_items(session, page)
            for item_id in page:
                plan.item_ids.popleft()
                _send_item(settings, scu, association, item_id, derived[item_id], progress)
                if not association.is_idle:
                    break


def _send_item(
    settings: Settings,
    scu: StoreScu,
    association: Association,
    item_id: int,
    derived: Derived,
    progress: Progress,
) -> None:
    instance = SopInstance(
        derived.sop_class_uid, derived.sop_instance_uid, derived.transfer_syntax_uid
    )
    try:
        association.context(instance.proposal)
        progress.checked(derived)
        with StoredInstance(
            settings.home / derived.storage_key,
            instance,
            offset_bytes=derived.offset_bytes,
            size_bytes=derived.size_bytes,
            digest=derived.digest,
        ) as stored:
            status = scu.store(instance, stored, stored.size_bytes, verify=stored.verify)
    except (ContextNotAccepted, PreflightFailed, ObjectMissing, IntegrityError) as error:
        _logger.error("deliver.refused", item=item_id, code=error.code, error=str(error))
        progress.refused(item_id, error)
        return
    if is_stored(status):
        progress.acknowledged(item_id, status)
        return
    refusal = StoreRefused(
        f"{association.peer} refused {instance.sop_instance_uid}: {in_words(status)}.",
        status=status,
        permanent=not describe(status).retry,
    )
    if not refusal.permanent:
        raise refusal
    progress.refused(item_id, refusal)
