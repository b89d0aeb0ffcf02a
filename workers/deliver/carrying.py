"""The rung of the delivery ladder a destination is on, applied to what a transfer sends."""

from collections.abc import Callable, Iterator
from pathlib import Path

from gateway import ladder, log
from gateway.dicom.storage_classes import JPEG_BASELINE, VIDEO_ENDOSCOPIC
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import adapted as queries
from gateway.ledger.queries.adapted import Pair
from gateway.ledger.queries.transfers import TransferLine
from gateway.ledger.transitions import adapting
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import Carrier, DerivedRole
from gateway.settings import Settings
from workers import carrier_files, fallback_files
from workers.deliver.progress import Clock
from workers.derived_files import WrittenFile
from workers.dicom_objects import Reference

_ORDER = (
    DerivedRole.FRAMES,
    DerivedRole.KEY_FRAME,
    DerivedRole.PREVIEW,
    DerivedRole.CONTACT_SHEET,
    DerivedRole.KEY_OBJECTS,
    DerivedRole.REPORT,
)
"""What refers to others comes behind them."""
_FRAMES_STAY = "This destination takes no multi-frame images: the frames stay here."

_logger = log.get(__name__)


class Carrying:
    """Adapts the items of one transfer.

    base: the purpose they were adapted for before. beats: the clock, and what is called while
    files are written.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        line: TransferLine,
        claim: tuple[int, int],
        *,
        base: str,
        beats: tuple[Clock, Callable[[], None]],
    ) -> None:
        self._settings, self._ledger, self._line, self._claim = settings, ledger, line, claim
        self._base, (self._now, self._heartbeat) = base, beats
        self._purpose = f"{base}+{Carrier.MULTI_FRAME_SC}"
        self._instead: dict[str, Reference] = {}

    def apply(self) -> None:
        """Make, or leave out, what the rung wants; what is made already is used.

        Raises StaleTransition, StorageError, IntegrityError.
        """
        destination = self._line.destination
        with self._ledger.reading() as session:
            found = queries.capabilities(session, destination.id)
        rung = ladder.choose(found, destination.carrier)
        if rung.carrier is Carrier.VIDEO_ENDOSCOPIC:
            return
        _logger.info("deliver.rung", transfer=self._claim[0], words=rung.words)
        for pair in self._pairs():
            if rung.carrier is Carrier.MULTI_FRAME_SC:
                self._carry(pair)
            elif pair.role is DerivedRole.FRAMES and not pair.is_sent:
                self._leave_out(pair)

    def _pairs(self) -> Iterator[Pair]:
        with self._ledger.reading() as session:
            found = queries.pairs(session, self._claim[0], base=self._base, purpose=self._purpose)
        for role in _ORDER:
            yield from (pair for pair in found if pair.role is role)

    def _leave_out(self, pair: Pair) -> None:
        if pair.base.sop_class_uid == VIDEO_ENDOSCOPIC:
            with self._ledger.transaction() as session:
                adapting.leave_out(
                    session, self._claim, pair.item_id, _FRAMES_STAY, now=self._now()
                )

    def _carry(self, pair: Pair) -> None:
        if pair.made is not None and (self._settings.home / pair.made.storage_key).exists():
            if not pair.is_used and not pair.is_sent:
                with self._ledger.transaction() as session:
                    adapting.use(session, self._claim, pair.item_id, pair.made.id)
            self._note(pair, _reference(pair.made))
            return
        if pair.is_sent:
            return  # as it is, before the destination was on this rung
        path = self._settings.home / pair.base.storage_key
        made: tuple[Reference, str, WrittenFile] | None = None
        if pair.role is DerivedRole.FRAMES:
            if pair.base.sop_class_uid == VIDEO_ENDOSCOPIC:
                made = self._other_carrier(path)
        elif self._instead:
            made = carrier_files.refer_anew(self._settings, path, self._instead, self._heartbeat)
        if made is not None:
            self._record(pair, *made)

    def _other_carrier(self, path: Path) -> tuple[Reference, str, WrittenFile]:
        made = fallback_files.make(self._settings, path, self._heartbeat)
        ds = made.header
        reference = Reference(
            str(ds.SeriesInstanceUID), str(ds.SOPClassUID), str(ds.SOPInstanceUID)
        )
        return reference, made.storage_key, made.written

    def _record(self, pair: Pair, reference: Reference, key: str, written: WrittenFile) -> None:
        is_part = pair.role is DerivedRole.FRAMES
        instance = DerivedInstance(
            role=pair.role,
            number=pair.number,
            series_instance_uid=reference.series_instance_uid,
            sop_class_uid=reference.sop_class_uid,
            sop_instance_uid=reference.sop_instance_uid,
            transfer_syntax_uid=JPEG_BASELINE if is_part else pair.base.transfer_syntax_uid,
            storage_key=key,
            size_bytes=written.size_bytes,
            frame_count=pair.base.frame_count,
            digest=written.digest,
        )
        study = self._line.study
        study_uid = getattr(pair.base, "study_instance_uid", "")
        with self._ledger.transaction() as session:
            adapting.adapt(
                session, self._claim, pair.item_id, (instance, self._purpose),
                study_instance_uid=study_uid or study.delivered_uid or study.study_instance_uid,
                now=self._now(),
            )  # fmt: skip
        self._note(pair, reference)

    def _note(self, pair: Pair, reference: Reference) -> None:
        self._instead[pair.base.sop_instance_uid] = reference


def _reference(row: object) -> Reference:
    series, sop_class, uid = (
        str(getattr(row, name))
        for name in ("series_instance_uid", "sop_class_uid", "sop_instance_uid")
    )
    return Reference(series, sop_class, uid)
