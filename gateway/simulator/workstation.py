"""A synthetic capsule workstation: sends a study as loose instances over one association."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from gateway.errors import OutcomeUnknown
from gateway.simulator.capsule import SyntheticFrame
from gateway.simulator.store_scu import store_association
from gateway.simulator.study import SyntheticStudy, instance_bytes
from gateway.status import is_stored


@dataclass(frozen=True)
class SendReport:
    """What was sent and how it was answered.

    sent_count: requests written; acknowledged_count: answered Success or Warning;
    failures: (SOP Instance UID, status) of the others that were answered;
    digests: SHA-256 in hexadecimal of every JPEG sent, by SOP Instance UID, in sending order.
    """

    study_instance_uid: str
    sent_count: int
    acknowledged_count: int
    failures: tuple[tuple[str, int], ...]
    digests: Mapping[str, str]
    seconds: float

    @property
    def instances_per_second(self) -> float:
        return self.sent_count / self.seconds if self.seconds else 0.0


class SendInterrupted(OutcomeUnknown):
    """The association broke off. Of the last instance in `report` only the peer knows more."""

    def __init__(self, message: str, report: SendReport) -> None:
        super().__init__(message)
        self.report = report


@dataclass
class _Tally:
    started: float
    acknowledged_count: int = 0
    failures: list[tuple[str, int]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def report(self, study: SyntheticStudy) -> SendReport:
        return SendReport(
            study_instance_uid=study.study_instance_uid,
            sent_count=len(self.digests),
            acknowledged_count=self.acknowledged_count,
            failures=tuple(self.failures),
            digests=self.digests,
            seconds=time.monotonic() - self.started,
        )


def send_study(  # noqa: PLR0913 - an address has four parts, and they are passed by name
    study: SyntheticStudy,
    frames: Iterable[SyntheticFrame],
    *,
    host: str,
    port: int,
    calling_ae_title: str,
    called_ae_title: str,
    progress: Callable[[int], None] | None = None,
    limit: int | None = None,
) -> SendReport:
    """Send frames in the order given, at most limit of them, over one association.

    progress gets the number of instances answered so far, after each. An instance that the
    peer refuses is noted, and the next one is sent.

    Raises PeerUnreachable, AssociationRejected, ContextNotAccepted; and SendInterrupted (an
    OutcomeUnknown) with the report so far if the association breaks off.
    """
    tally = _Tally(started=time.monotonic())
    with store_association(
        host=host, port=port, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title
    ) as association:
        for frame in islice(frames, limit):
            sop_instance_uid = study.sop_instance_uid(frame.frame_number)
            tally.digests[sop_instance_uid] = hashlib.sha256(frame.jpeg).hexdigest()
            try:
                status = association.store(sop_instance_uid, instance_bytes(study, frame))
            except OutcomeUnknown as error:
                raise SendInterrupted(str(error), tally.report(study)) from error
            if is_stored(status):
                tally.acknowledged_count += 1
            else:
                tally.failures.append((sop_instance_uid, status))
            if progress is not None:
                progress(len(tally.digests))
    return tally.report(study)
