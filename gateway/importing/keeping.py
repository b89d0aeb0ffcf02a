"""An association without a network: instances from files, into the packs and ledger of all.

Reception decides about duplicates, conflicts and quarantine and makes everything durable, as it
does for what comes by C-STORE.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from gateway.errors import Interrupted
from gateway.importing.turn import Turn
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome, Disposition, QuarantineNote
from gateway.packs.room import Room
from gateway.scp import recovery
from gateway.scp.context import Context, Peer
from gateway.scp.presence import Presence
from gateway.scp.reception import Answer, Reception, new_association_id
from gateway.scp.wire.command import StoreRequest
from gateway.settings import Settings
from gateway.status import SUCCESS

PEER = "import"
"""What the ledger shows as the address of the other end."""
AE_TITLE = "IMPORT"
"""The calling AE title of imports, unless told otherwise: routes of sources go by it."""
NOTES_MAX = 500
"""Quarantine rows of one import; its report counts, and lists, more."""
_TRANSIENT = range(0xA700, 0xA702)
"""Statuses that are about us, not about the instance (gateway.errors)."""


@dataclass(frozen=True)
class Offer:
    """An instance to keep. pieces: of its encoded data set; who takes them reads the file."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    pieces: Iterable[bytes | memoryview]


class LocalAssociation:
    """Use as a context manager. Left in order it counts as released, else as aborted."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        now: Callable[[], datetime],
        caller: tuple[str, str],
        presence: Presence | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """caller: the AE title that stands for who brings it, and where that is.
        presence: of a process that receives all the time, and so waits for no turn."""
        self._settings, self._ledger, self._now, self._waiting = settings, ledger, now, waiting
        self._peer = Peer(new_association_id(), caller[0], settings.ae_title, caller[1])
        self._presence = presence
        self._reception = Reception(Context(settings, ledger, self._peer, now, Room.of(settings)))
        self._cleaning = ExitStack()
        self._noted = 0

    def __enter__(self) -> "LocalAssociation":
        """Wait for our turn; bring what an import that was killed left behind into order."""
        with ExitStack() as cleaning:
            presence = self._presence or self._in_turn(cleaning)
            with self._ledger.transaction() as session:
                record.open_association(
                    session, self._peer.association_id, calling=self._peer.calling_ae_title,
                    called=self._peer.called_ae_title, peer=self._peer.address,
                    listener=presence.name, now=self._now(),
                )  # fmt: skip
            self._cleaning = cleaning.pop_all()
        return self

    def _in_turn(self, cleaning: ExitStack) -> Presence:
        turn = Turn(self._settings)
        was_killed = turn.take(waiting=self._waiting)
        cleaning.callback(turn.give_back)
        presence = Presence(self._settings)
        cleaning.callback(presence.close)
        if was_killed:
            recovery.recover(self._settings, self._ledger, self._now())
        return presence

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Seal and record. Raises Interrupted if that could not be done: a re-run does it."""
        with self._cleaning:
            whole = kind is None
            outcome = AssociationOutcome.RELEASED if whole else AssociationOutcome.ABORTED
            if not self._reception.close(outcome) and whole:
                raise Interrupted("The last packs could not be sealed and recorded.")

    def is_known(self, study_instance_uid: str, series_instance_uid: str) -> Callable[[str], bool]:
        """Return a function that tells whether the Series has a SOP Instance UID already."""
        known = self._reception.series_pack(study_instance_uid, series_instance_uid).known
        return lambda sop_instance_uid: known.place(sop_instance_uid) is not None

    def keep(self, offers: Sequence[Offer]) -> list[Answer]:
        """Keep instances durably; returns (status, comment) of each, in order.

        Raises Interrupted when nothing more can be kept now: no room, or no ledger.
        """
        instances = []
        for offer in offers:
            request = StoreRequest(0, offer.sop_class_uid, offer.sop_instance_uid)
            instance = self._reception.begin(request, offer.transfer_syntax_uid)
            instances.append(instance)
            for piece in offer.pieces:
                instance.write(memoryview(piece))
        answers = self._reception.keep(instances)
        self._reception.report_progress()
        for status, code in answers:
            if status in _TRANSIENT:
                raise Interrupted(f"Nothing more can be kept now: {code}.")
        return answers

    def note_refused(
        self, name: str, reason: str, *, study_instance_uid: str, sop_instance_uid: str
    ) -> None:
        """Put a file that could not be imported on the list of what a human should look at."""
        self._noted += 1
        if self._noted > NOTES_MAX:
            return
        note = QuarantineNote(
            code="import.file-refused",
            reason=f"{name}: {reason}",
            disposition=Disposition.REFUSED,
            status=0,
            calling_ae_title=self._peer.calling_ae_title,
            association_id=self._peer.association_id,
            study_instance_uid=study_instance_uid,
            sop_instance_uid=sop_instance_uid,
        )
        with self._ledger.transaction() as session:
            record.quarantine(session, note, now=self._now())


def is_kept(answer: Answer) -> bool:
    return answer[0] == SUCCESS
