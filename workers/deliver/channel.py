"""How an instance is sent: the contract that each kind of destination fulfils.

A channel is one way to a destination, open: an association, or a session with a web server. It
is used from one thread and knows nothing of the ledger. `send` walks over the items and decides
what an answer means; what is sent comes as Part 10 data sets that prove their own bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from gateway.dimse.store_scu import SopInstance
from gateway.ledger.delivery_schema import Destination
from gateway.settings import Settings


@dataclass(frozen=True)
class Answer:
    """status: of C-STORE; a STOW-RS answer is given as the one that means the same.

    words: what the destination said, if more than the status says.
    """

    status: int
    words: str = ""


class Stored(Protocol):
    """The data set of an instance, read once from front to end: gateway.dimse.stored.

    size_bytes: of the data set, without the file meta information.
    """

    size_bytes: int

    def readinto(self, buffer: memoryview, /) -> int: ...

    def verify(self) -> None:
        """Raise IntegrityError unless all of it was read and is what was recorded."""
        ...


class Channel(Protocol):
    """Leaving its `with` block ends it: in order, or at once while a request is unfinished."""

    @property
    def is_usable(self) -> bool:
        """False after something was left half sent: open another one."""
        ...

    @property
    def has_left(self) -> bool:
        """Whether all of the last instance was written, answered or not."""
        ...

    def require(self, instance: SopInstance) -> None:
        """Raise ContextNotAccepted if the destination does not take such instances."""
        ...

    def store(self, instance: SopInstance, stored: Stored) -> Answer:
        """Send one instance and return the answer; `stored.verify` before the last byte leaves.

        Raises IntegrityError, StorageError: the instance is left half sent. OutcomeUnknown: no
        answer can be had, and the destination may have it.
        """
        ...

    def __enter__(self) -> "Channel": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


@dataclass(frozen=True)
class Waiting:
    """beat: called at least every beat_s while the destination is waited for; it may raise."""

    beat: Callable[[], None]
    beat_s: float


class OpenChannel(Protocol):
    """Opens a channel. kinds: what will be sent, (SOP Class UID, Transfer Syntax UID).

    Raises PeerUnreachable or AssociationRejected: nothing was sent.
    """

    def __call__(
        self,
        settings: Settings,
        destination: Destination,
        kinds: Sequence[tuple[str, str]],
        waiting: Waiting,
        /,
    ) -> Channel: ...
