"""The whole error tree. Every error says whether trying again can help and what to do.

GatewayError
├─ ConfigurationError            raised only at start
├─ ReceiveError                  + status: the DIMSE status we answer
│  ├─ Undecodable                C000   permanent
│  ├─ IdentityMissing            A900   permanent
│  ├─ InvalidInstanceUid         0117   permanent
│  ├─ IdentityConflict           A901   permanent
│  ├─ InstanceTooLarge           A702   permanent
│  ├─ QueryInvalid               A900   permanent   what is asked for is not in the model
│  ├─ MoveDestinationUnknown     A801   permanent
│  ├─ TooManyInstances           A702   permanent   more than DIMSE can count
│  ├─ RetrieveFailed             A702   transient
│  └─ RequestorGone              FE00   transient   who asked went away meanwhile
├─ StorageError
│  ├─ StorageUnavailable         A700   transient
│  ├─ StorageFull                A700   transient
│  ├─ TooMuchUnderWay            A700   transient
│  ├─ ObjectMissing                     permanent
│  └─ IntegrityError                    permanent
├─ LedgerError
│  ├─ LedgerUnavailable          A700   transient
│  ├─ NotFound                          permanent
│  ├─ TransitionRefused                 permanent
│  └─ StaleTransition                   the row has moved on; the caller returns quietly
├─ IntakeError                          permanent   what an import was given cannot be used
│  ├─ NothingToImport
│  ├─ UnsafeInput
│  ├─ OrderIncomplete
│  ├─ FileRefused                       one file of many; the others go on
│  └─ Interrupted                       transient
├─ WrapError                            permanent
│  ├─ NoFrames
│  ├─ FramesDisagree
│  └─ LimitExceeded
└─ SendError
   ├─ PeerUnreachable                   transient
   ├─ AssociationRejected               as the peer says (PS3.8 9.3.4)
   ├─ ContextNotAccepted                permanent
   ├─ OutcomeUnknown                    transient
   ├─ StoreRefused                      as the status says (gateway.status)
   ├─ InstancesRefused                  permanent
   ├─ PreflightFailed                   permanent
   ├─ TooLargeThere                     permanent   beyond what the destination takes
   ├─ Postponed                         transient   nothing is wrong; it goes on at `until`
   ├─ CannotDeidentify                  permanent   never sent: it might say who the patient is
   └─ QueryRefused                      permanent
"""

from datetime import datetime


class GatewayError(Exception):
    """Base of everything the gateway raises on purpose.

    str(error) is one sentence an operator can act on; it never holds patient data.
    """

    code: str = "gateway"
    permanent: bool = True
    remedy: str = "Look at the events of the study and at the log."


class ConfigurationError(GatewayError):
    code = "configuration"
    remedy = "Correct the named setting and start again."


class ReceiveError(GatewayError):
    """An instance is refused; `status` is the DIMSE status the sender gets."""

    code = "receive"
    status: int = 0xC000
    remedy = "Ask the sending system to correct the instance and send it again."


class Undecodable(ReceiveError):
    code = "receive.undecodable"
    status = 0xC000


class IdentityMissing(ReceiveError):
    code = "receive.identity-missing"
    status = 0xA900


class InvalidInstanceUid(ReceiveError):
    code = "receive.invalid-uid"
    status = 0x0117


class IdentityConflict(ReceiveError):
    """The SOP Instance UID is known with other bytes: which one is right, only a human can say."""

    code = "receive.conflict"
    status = 0xA901
    remedy = "Compare the two instances; the first one is kept, the second lies in quarantine."


class InstanceTooLarge(ReceiveError):
    code = "receive.too-large"
    status = 0xA702
    remedy = "Raise CAPSULE_INSTANCE_BYTES_MAX if instances of this size are expected."


class QueryInvalid(ReceiveError):
    """An Identifier that does not fit its model."""

    code = "query.invalid"
    status = 0xA900
    remedy = "Ask the querying system for its conformance statement and compare it with ours."


class MoveDestinationUnknown(ReceiveError):
    code = "retrieve.destination-unknown"
    status = 0xA801
    remedy = "Add the named AE title as a destination; retrieving sends nowhere else."


class TooManyInstances(ReceiveError):
    """The sub-operation counters have 16 bits (PS3.7 9.1.4)."""

    code = "retrieve.too-many"
    status = 0xA702
    remedy = "Retrieve the multi-frame instances instead, or fewer loose ones at a time."


class RetrieveFailed(ReceiveError):
    code = "retrieve.failed"
    permanent = False
    status = 0xA702
    remedy = "Look at the log; the requestor may try again."


class NotConvertible(ReceiveError):
    """An instance that can only be sent in the transfer syntax it is stored in."""

    code = "retrieve.not-convertible"
    status = 0xA702
    remedy = "Ask for it in the transfer syntax it is stored in."


class NoPixelData(ReceiveError):
    """An instance without frames that could be shown or taken one by one."""

    code = "retrieve.no-pixel-data"
    status = 0xA702
    remedy = "Ask for the instance instead."


class RequestorGone(ReceiveError):
    code = "service.requestor-gone"
    permanent = False
    status = 0xFE00
    remedy = "Nothing is wrong here: whoever asked ended the association."


class StorageError(GatewayError):
    code = "storage"
    status: int = 0xA700


class StorageUnavailable(StorageError):
    code = "storage.unavailable"
    permanent = False
    remedy = "Check that the data directory is mounted and writable."


class StorageFull(StorageError):
    code = "storage.full"
    permanent = False
    remedy = "Free space in the data directory; senders retry by themselves."


class TooMuchUnderWay(StorageError):
    """A peer sends so many instances at once that they cannot all be held in memory."""

    code = "storage.too-much-under-way"
    permanent = False
    remedy = "Let the sender finish instances before it begins more on the same association."


class ObjectMissing(StorageError):
    code = "storage.missing"
    remedy = "Restore the named object from a backup, or make the study again."


class IntegrityError(StorageError):
    """Bytes differ from their recorded digest: never send them, call a human."""

    code = "storage.integrity"
    remedy = "The disk returned other bytes than were written: check the device before going on."


class LedgerError(GatewayError):
    code = "ledger"
    status: int = 0xA700


class LedgerUnavailable(LedgerError):
    code = "ledger.unavailable"
    permanent = False
    remedy = "Check the database; work goes on by itself when it answers again."


class NotFound(LedgerError):
    code = "ledger.not-found"
    remedy = "Check the identifier."


class TransitionRefused(LedgerError):
    """The state table (gateway.model) has no such arrow."""

    code = "ledger.transition-refused"
    remedy = "Reload the page: the state shown may be old."


class StaleTransition(LedgerError):
    """Somebody else moved the row on. The loser of the race returns quietly."""

    code = "ledger.stale"


class IntakeError(GatewayError):
    """What an import was given cannot be used."""

    code = "import"
    remedy = "Look at the report of the import."


class NothingToImport(IntakeError):
    code = "import.nothing"
    remedy = "Name a folder or ZIP of frames, a video file, or a folder of DICOM files."


class UnsafeInput(IntakeError):
    """An archive or folder that could do harm. Nothing of it is imported."""

    code = "import.unsafe"
    remedy = "Unpack it by hand, look at what is in it, and import the folder of frames."


class OrderIncomplete(IntakeError):
    """Whose frames these are is not known, or is contradicted."""

    code = "import.order"
    remedy = "Give --patient-id, a capsule.json beside the frames, or an accession number."


class FileRefused(IntakeError):
    """One file cannot be imported; it is named in the report, and the others go on."""

    code = "import.file-refused"
    remedy = "Ask the exporting system for this file again."


class Interrupted(IntakeError):
    code = "import.interrupted"
    permanent = False
    remedy = "Run the same import again: what is there already is not stored twice."


class WrapError(GatewayError):
    code = "wrap"
    remedy = "Look at the quarantined frames of the study, then close it again."


class NoFrames(WrapError):
    code = "wrap.no-frames"
    remedy = "Ask the sending system to send the study again: nothing in it can be shown."


class FramesDisagree(WrapError):
    code = "wrap.frames-disagree"


class LimitExceeded(WrapError):
    code = "wrap.limit-exceeded"


class SendError(GatewayError):
    code = "send"
    permanent = False
    remedy = "It is tried again by itself."


class PeerUnreachable(SendError):
    code = "send.unreachable"
    remedy = "Check host, port and firewall of the destination; it is tried again by itself."


class AssociationRejected(SendError):
    code = "send.rejected"
    remedy = "Register this gateway's AE title at the destination and check both AE titles."

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class ContextNotAccepted(SendError):
    code = "send.context-not-accepted"
    permanent = True
    remedy = "Enable the named SOP class and transfer syntax at the destination."


class OutcomeUnknown(SendError):
    """The request left, no answer came: the peer may have it. Sent again with the same UID."""

    code = "send.outcome-unknown"


class StoreRefused(SendError):
    code = "send.refused"

    def __init__(self, message: str, *, status: int, permanent: bool) -> None:
        super().__init__(message)
        self.status = status
        self.permanent = permanent


class InstancesRefused(SendError):
    """Some instances of a transfer were not taken, the others were: why, their items say."""

    code = "send.instances-refused"
    permanent = True

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class CannotDeidentify(SendError):
    """An instance that cannot be made anew without what identifies the patient."""

    code = "send.cannot-deidentify"
    permanent = True
    remedy = (
        "Nothing of it was sent. Send the study without this instance, or change the"
        " de-identification profile of the destination."
    )


class PreflightFailed(SendError):
    """An instance of ours that some receiver would refuse or show wrong. It is never sent."""

    code = "send.preflight-failed"
    permanent = True
    remedy = (
        "Nothing wrong was sent. Make the study again; if that does not help, report what"
        " `capsule-gateway check` says about the named file."
    )


class TooLargeThere(SendError):
    """An instance beyond the frames or bytes that a destination's profile allows."""

    code = "send.too-large-there"
    permanent = True
    remedy = "Raise the limit in the destination's profile, or lower CAPSULE_PART_FRAMES_MAX."


class Postponed(SendError):
    """A transfer stops in order: its time window closed, or the destination was paused."""

    code = "send.postponed"
    remedy = ""

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class QueryRefused(SendError):
    code = "query.refused"
    permanent = True
    remedy = "Check that the worklist server knows this gateway's AE title and answers queries."
