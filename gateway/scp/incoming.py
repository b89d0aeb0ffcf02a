"""An instance on its way in: held in memory if it is small, passed on piece by piece if not."""

from typing import Protocol

from gateway.dicom import header, part10
from gateway.dicom.header import Header
from gateway.dicom.part10 import FileMeta
from gateway.errors import (
    IdentityMissing,
    InstanceTooLarge,
    LedgerError,
    ReceiveError,
    StorageError,
    TooMuchUnderWay,
)
from gateway.packs.known import KnownInstances, Place
from gateway.packs.reading import HELD_BYTES_MAX, read_range
from gateway.packs.writer import MemberStream
from gateway.scp.checks import checked_identity
from gateway.scp.context import Context
from gateway.scp.held import HELD_FREELY_BYTES, HeldBytes, Share
from gateway.scp.wire.command import StoreRequest

FILE_META_BYTES_MAX = 64 << 10


class Keeping(Protocol):
    """The pack an instance belongs to."""

    known: KnownInstances

    def begin_large(self, instance: "Instance") -> MemberStream: ...

    def abandon_large(self, stream: MemberStream) -> None: ...


class Keeper(Protocol):
    """Knows the packs of an association; gateway.scp.reception has the one there is."""

    context: Context
    held: HeldBytes
    instance_bytes_max: int

    def series_pack(self, study_uid: str, series_uid: str) -> Keeping: ...


class Comparison:
    """Takes in a large instance that is known already, and only compares it."""

    def __init__(self, known: Place) -> None:
        head = read_range(known.pack, known.offset, min(known.size, FILE_META_BYTES_MAX))
        skipped = part10.parse_file_meta(head).data_set_offset
        self._known = known
        self._position, self._end = known.offset + skipped, known.offset + known.size
        self._differs = False

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        size = len(piece)
        if self._differs or self._position + size > self._end:
            self._differs = True
            return
        self._differs = read_range(self._known.pack, self._position, size) != piece
        self._position += size

    @property
    def equal(self) -> bool:
        return not self._differs and self._position == self._end


class Instance:
    """Collects the data set in memory while it may, then passes it on piece by piece.

    `write` never raises: a failure is kept and decides the answer.
    """

    __slots__ = (
        "_failure", "_held", "_keeper", "_large_in", "_share", "_sink", "header", "pack",
        "request", "size_bytes", "transfer_syntax_uid",
    )  # fmt: skip

    def __init__(self, keeper: Keeper, request: StoreRequest, transfer_syntax_uid: str) -> None:
        self.request, self.transfer_syntax_uid = request, transfer_syntax_uid
        self._keeper = keeper
        self._held = bytearray()
        self._share: Share | None = None  # once it holds more than it may freely
        self._sink: MemberStream | Comparison | None = None
        self._large_in: Keeping | None = None  # the pack the stream belongs to
        self._failure: ReceiveError | StorageError | LedgerError | None = None
        self.size_bytes = 0  # of the data set
        self.header: Header | None = None  # once it is known that it is too large to hold
        self.pack: Keeping | None = None  # where it was staged

    def write(self, fragment: memoryview) -> None:
        size = self.size_bytes = self.size_bytes + len(fragment)
        if self._failure is not None:
            return
        if size > self._keeper.instance_bytes_max:
            self._fail(InstanceTooLarge("The instance is larger than this gateway accepts."))
        elif self._sink is None and (size <= HELD_FREELY_BYTES or self._may_hold(size)):
            self._held += fragment
        else:
            self._pass_on(fragment)

    def _may_hold(self, size_bytes: int) -> bool:
        if self._share is None:
            self._share = Share(self._keeper.held)
        return self._share.grow(size_bytes)

    def _pass_on(self, fragment: memoryview) -> None:
        try:
            self._keeper.context.room.take(len(fragment))
            if self._sink is None:
                self._sink = self._begin_large()
            if isinstance(self._sink, MemberStream):
                self._sink.gather_bytes = self._keeper.held.gather_bytes
            self._sink.write(fragment)
        except (ReceiveError, StorageError, LedgerError) as error:
            self._fail(error)

    def _fail(self, error: ReceiveError | StorageError | LedgerError) -> None:
        self._failure = error
        self.finish()

    def finish(self) -> None:
        """Give back the room it took: in memory, and on disk unless it was kept."""
        if self._large_in is not None and self.stream is not None:
            self._large_in.abandon_large(self.stream)
        self._sink = None
        if self._share is not None:
            self._share.end()

    def _begin_large(self) -> MemberStream | Comparison:
        """Pass on what was held so far; its header stays in memory to describe the instance by."""
        found = self.header = header.read(self.head, self.transfer_syntax_uid, cut=True)
        pack = self._keeper.series_pack(*self._identity(found))
        known = pack.known.place(self.request.sop_instance_uid)
        sink: MemberStream | Comparison
        if known is not None:
            sink = Comparison(known)
        else:
            sink = pack.begin_large(self)
            self._large_in, self._sink = pack, sink
            if self._share is None:
                self._share = Share(self._keeper.held)
            self._share.begin_stream()
            sink.write(self.file_meta().encode())
        sink.write(self._held)
        if found.pixel_data_offset is not None:
            del self._held[found.pixel_data_offset :]
            if self._share is not None:
                self._share.shrink(len(self._held))
        return sink

    def _identity(self, found: Header) -> tuple[str, str]:
        """Return Study and Series Instance UID.

        Raises TooMuchUnderWay if only more than may be held now would tell them.
        """
        try:
            return checked_identity(found, self.request)
        except IdentityMissing as error:
            if found.pixel_data_offset is None and self.size_bytes <= HELD_BYTES_MAX:
                raise TooMuchUnderWay(
                    "Too many instances arrive at once on this association."
                ) from error
            raise

    @property
    def stream(self) -> MemberStream | None:
        """Where the instance was written as it arrived, if it was too large to hold."""
        return self._sink if isinstance(self._sink, MemberStream) else None

    @property
    def member_name(self) -> str:
        return f"{self.request.sop_instance_uid}.dcm"

    @property
    def data_set(self) -> bytearray:
        """What `head` shows, for those who keep it."""
        return self._held

    @property
    def head(self) -> memoryview:
        """The beginning of the data set, or all of it if it was held."""
        return memoryview(self._held)

    def raise_if_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    def file_meta(self) -> FileMeta:
        """Return the file meta information for this instance."""
        return FileMeta(
            sop_class_uid=self.request.sop_class_uid,
            sop_instance_uid=self.request.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            source_ae_title=self._keeper.context.peer.calling_ae_title,
        )

    def kept_parts(self) -> list[bytes | memoryview]:
        """Return what to lay aside when the instance is refused: its beginning, if it is large."""
        try:
            return [self.file_meta().encode(), self.head]
        except UnicodeEncodeError:  # a UID that is not even ASCII
            return [self.head]

    def equals(self, known: Place) -> bool:
        """Tell whether a kept instance has the same data set, byte for byte."""
        if not isinstance(self._sink, Comparison):
            comparison = Comparison(known)
            comparison.write(self._held)
            return comparison.equal
        return self._sink.equal
