"""Before a transfer is sent to a destination with a de-identification profile: its instances
are made anew, and the transfer is about those from then on.

`Clearance` is the last gate: what was not made under the profile is never sent there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway import log, pseudonym_keys
from gateway.deidentify import profile as profiles
from gateway.deidentify import proof
from gateway.deidentify.profile import Profile
from gateway.deidentify.proof import Export, Made
from gateway.deidentify.pseudonyms import Domain
from gateway.dicom import identity
from gateway.errors import CannotDeidentify, ConfigurationError, NotFound
from gateway.ledger.delivery_schema import Adapted
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import deidentification as queries
from gateway.ledger.queries.deidentification import ExportItem
from gateway.ledger.queries.outgoing import Outgoing
from gateway.ledger.queries.transfers import TransferLine
from gateway.ledger.schema import Study
from gateway.ledger.transitions import adapting
from gateway.ledger.transitions import deidentification as transitions
from gateway.ledger.transitions.deidentification import PseudonymRow
from gateway.model import DerivedRole
from gateway.packs.writer import storage_error
from gateway.settings import Settings
from workers import deidentified_files, derived_files
from workers.deidentified_files import Commission, MadeFile
from workers.deliver.progress import Clock

SENT_BEFORE = "The destination had it before it got this profile."
SHEET_LEFT_OUT = "The contact sheet shows frames as they were before regions were blanked."

_PURPOSE = "deidentified:"

_logger = log.get(__name__)


@dataclass(frozen=True)
class Clearance:
    """What may be sent. purpose: empty for a destination that gets what there is.

    reasons: why an instance could not be made, by the id of what was made or received.
    """

    purpose: str = ""
    reasons: dict[int, CannotDeidentify] = field(default_factory=dict)

    def require(self, sent: Outgoing) -> None:
        """Raise CannotDeidentify unless the instance is one this destination may have."""
        if not self.purpose and not is_purpose(sent.purpose):
            return
        if self.purpose and sent.purpose.startswith(self.purpose):
            return
        raise self.reasons.get(sent.derived_id) or CannotDeidentify(
            f"{sent.sop_instance_uid} was made for another de-identification profile."
        )


def prepare(
    settings: Settings,
    ledger: Ledger,
    line: TransferLine,
    claim: tuple[int, int],
    *,
    now: Clock,
    heartbeat: Callable[[], None],
) -> Clearance:
    """Make what a claimed transfer (its id, the attempt) sends, if its destination wants that.

    1. Look up profile and key.
    2. Make each instance that is not made yet; the transfer's item is about it from then on.
    3. Keep the proof sheet.

    heartbeat: called every frame. Raises StaleTransition, StorageError, and CannotDeidentify if
    the profile or the key of the domain is not there.
    """
    if not line.destination.deidentification_profile:
        return Clearance()
    # Step 1.
    work = _Work(settings, ledger, claim, line, now)
    with ledger.reading() as session:
        items = queries.export_items(session, claim[0], work.purpose)
        known = queries.known_uids(session, line.study.id)
    # Step 2.
    commission = _commission(work.export.profile, work.domain, line.study, known, heartbeat)
    sheet = [work.item(one, commission) for one in items]
    # Step 3.
    if work.made_count:
        _keep_sheet(settings, work.export, sheet)
        with ledger.transaction() as session:
            transitions.note_made(
                session, claim[0], work.export.profile_name, work.made_count, now=now()
            )
    return Clearance(work.purpose, work.reasons)


def is_purpose(purpose: str) -> bool:
    """Tell whether what was adapted for this purpose was de-identified."""
    return purpose.startswith(_PURPOSE)


class _Work:
    """Makes the instances of one transfer."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        claim: tuple[int, int],
        line: TransferLine,
        now: Clock,
    ) -> None:
        self._settings, self._ledger, self._claim, self._now = settings, ledger, claim, now
        self._line = line
        destination = line.destination
        name = destination.pseudonym_domain or f"destination-{destination.id}"
        profile = _profile(ledger, destination.deidentification_profile)
        self.domain = _domain(settings, ledger, name, profile, now)
        self.export = Export(
            claim[0], destination.name, destination.deidentification_profile, profile, name,
            self.domain.version, now().isoformat(timespec="seconds"),
        )  # fmt: skip
        self.purpose = _PURPOSE + self.export.version
        self.made_count = 0
        self.reasons: dict[int, CannotDeidentify] = {}

    def item(self, one: ExportItem, how: Commission) -> Made:
        """Make one instance, unless that is done; returns its line of the proof sheet."""
        source = one.source
        known = _known(self._settings, one.made)
        if known is not None and one.made is not None:
            if not one.is_replaced and not one.is_sent:
                with self._ledger.transaction() as session:
                    adapting.use(session, self._claim, one.item_id, one.made.id)
            return known
        if one.is_sent:
            return Made(source.role, source.number, left_out=SENT_BEFORE)
        if source.role is DerivedRole.CONTACT_SHEET and how.profile.regions:
            with self._ledger.transaction() as session:
                adapting.leave_out(
                    session, self._claim, one.item_id, SHEET_LEFT_OUT, now=self._now()
                )
            return Made(source.role, source.number, left_out=SHEET_LEFT_OUT)
        try:
            made = deidentified_files.make(self._settings, source, how)
        except CannotDeidentify as error:
            _logger.error("deidentify.refused", item=one.item_id, error=str(error))
            self.reasons[source.id] = error
            return Made(source.role, source.number, left_out=str(error))
        done = Made(
            source.role, source.number, made.instance.sop_instance_uid, made.instance.digest,
            source.frame_count, made.blanked_count, made.metadata_bytes, made.changes,
        )  # fmt: skip
        _remember(self._settings, made.instance.storage_key, done)
        self._record(one, made)
        self.made_count += 1
        return done

    def _record(self, one: ExportItem, made: MadeFile) -> None:
        study = self._line.study
        days = 0
        if self.export.profile.dates is profiles.Dates.SHIFTED:
            days = self.domain.days(made.subject.patient)
        row = PseudonymRow(
            domain=self.export.domain,
            pseudonym=self.domain.patient(made.subject.patient),
            patient_id=study.patient_id,
            issuer=_issuer(study),
            patient_name=study.patient_name,
            study_instance_uid=made.study_instance_uid,
            made_study_instance_uid=made.made_study_instance_uid,
            days=days,
        )
        with self._ledger.transaction() as session:
            transitions.note_pseudonym(session, study.id, row, now=self._now())
            adapting.adapt(
                session, self._claim, one.item_id, (made.instance, self.purpose),
                study_instance_uid=made.made_study_instance_uid, now=self._now(),
            )  # fmt: skip


def sheet_keys(transfer_id: int) -> tuple[str, str]:
    """Return the storage keys of a transfer's proof sheet: JSON and CSV."""
    return f"proofs/transfer-{transfer_id}.json", f"proofs/transfer-{transfer_id}.csv"


def _remember(settings: Settings, key: str, made: Made) -> None:
    """Keep the line beside its file, for other transfers of it. If it is lost, it is made again."""
    path = derived_files.path_of(settings, f"{key}.json")
    try:
        path.write_text(proof.to_text(made))
    except OSError as error:
        raise storage_error(error, path) from error


def _known(settings: Settings, row: Adapted | None) -> Made | None:
    """Return the line of an instance that is made and still there."""
    if row is None:
        return None
    path = derived_files.path_of(settings, row.storage_key)
    try:
        if path.stat().st_size != row.size_bytes:
            return None
        return proof.from_text(path.with_name(f"{path.name}.json").read_text())
    except (OSError, ValueError):
        return None


def _keep_sheet(settings: Settings, export: Export, sheet: Sequence[Made]) -> None:
    contents = (
        json.dumps(proof.as_json(export, sheet), indent=1).encode(),
        proof.as_csv(export, sheet).encode(),
    )
    for key, content in zip(sheet_keys(export.transfer_id), contents, strict=True):
        derived_files.write(derived_files.path_of(settings, key), [content])


def _profile(ledger: Ledger, name: str) -> Profile:
    try:
        with ledger.reading() as session:
            return profiles.from_json(queries.profile(session, name).options)
    except (NotFound, ConfigurationError) as error:
        raise CannotDeidentify(f"Nothing is sent: {error}") from error


def _domain(settings: Settings, ledger: Ledger, name: str, profile: Profile, now: Clock) -> Domain:
    """Return the domain, sure that its key is the one it was begun with."""
    try:
        key = pseudonym_keys.key_of(settings, name)
    except ConfigurationError as error:
        raise CannotDeidentify(f"Nothing is sent: {error}") from error
    domain = Domain(key, version=profile.fingerprint)
    with ledger.transaction() as session:
        known = queries.domain(session, name)
        if known is None:
            transitions.add_domain(session, name, domain.check, now=now())
        elif known.key_check != domain.check:
            raise CannotDeidentify(
                f"Nothing is sent: the key of the pseudonym domain {name} is not the one it was"
                " begun with; patients would get other pseudonyms. Restore it."
            )
    return domain


def _commission(
    profile: Profile,
    domain: Domain,
    study: Study,
    known: frozenset[str],
    heartbeat: Callable[[], None],
) -> Commission:
    return Commission(
        profile, domain, study.calling_ae_title, study.patient_id, _issuer(study), known, heartbeat
    )


def _issuer(study: Study) -> str:
    return str(identity.as_dataset(study.attributes).get("IssuerOfPatientID") or "")
