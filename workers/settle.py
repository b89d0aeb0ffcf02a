"""Pure: when is a study complete? By evidence first, by timer last."""

from datetime import datetime, timedelta

from gateway.ledger.queries.due import SettleFacts
from gateway.ledger.queries.performed_steps import StepEvidence
from gateway.model import SettleRule


def evidence(
    facts: SettleFacts, *, settle_s: float, settle_aborted_s: float, now: datetime
) -> SettleRule | None:
    """Return the rule by which a study is complete now, or None.

    1. Nothing is complete while an association still brings instances of it.
    2. The declared number of instances (Images in Acquisition, PS3.3 C.7.6.1) has arrived.
    3. The modality ended its performed procedure step, and what it names has arrived.
    4. Every association was released, and it stayed quiet for settle_s; for settle_aborted_s
       while a performed procedure step is in progress.
    5. One broke off and none made up for it: quiet for settle_aborted_s.
    """
    if facts.open_pack_count or not facts.instance_count:
        return None
    if facts.declared_count is not None and facts.instance_count >= facts.declared_count:
        return SettleRule.DECLARED_COUNT
    if facts.steps is StepEvidence.ARRIVED:
        return SettleRule.PERFORMED_STEP
    quiet = now - facts.last_received_at
    if facts.broken_pack_count:
        waited = quiet >= timedelta(seconds=settle_aborted_s)
        return SettleRule.QUIET_AFTER_ABORT if waited else None
    if facts.steps is StepEvidence.IN_PROGRESS:
        settle_s = max(settle_s, settle_aborted_s)
    return SettleRule.QUIET if quiet >= timedelta(seconds=settle_s) else None
