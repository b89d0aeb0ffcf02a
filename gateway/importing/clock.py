"""Pure: the clock of a recording: what each frame's time is, and where it comes from."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.dicom import times
from gateway.importing.order import Order
from gateway.importing.stamps import Stamps


class TimeFrom(StrEnum):
    """Where times are taken from; AUTO: the first of these that there is."""

    AUTO = "auto"
    LIST = "list"
    FPS = "fps"
    NAMES = "names"
    EXIF = "exif"
    CONTAINER = "container"  # of a video
    NONE = "none"


@dataclass(frozen=True)
class Clock:
    """Times of one recording's frames, 0-based in order. EXIF's are in the frames themselves."""

    source: TimeFrom
    stamps: Stamps | None = None

    @property
    def first_us(self) -> int:
        """The first absolute time, UNKNOWN if there is none."""
        if self.stamps is None or not self.stamps.absolute:
            return times.UNKNOWN
        return next((us for us in self.stamps.us if us is not None), times.UNKNOWN)

    def taken_us(self, index: int, *, start_us: int) -> int:
        """Return the wall-clock time of a frame, UNKNOWN if it has none.

        start_us: what elapsed times count from.
        """
        if self.stamps is None or index >= len(self.stamps.us):
            return times.UNKNOWN
        us = self.stamps.us[index]
        if us is None:
            return times.UNKNOWN
        return us if self.stamps.absolute else start_us + us


def at_rate(count: int, fps: float) -> Stamps:
    return Stamps([round(index * 1_000_000 / fps) for index in range(count)], absolute=False)


def start_us(order: Order) -> int:
    """Return what elapsed times count from: the study's beginning, or its midnight."""
    return times.from_date_and_time(order.study_date, order.study_time or "000000")


def dated(order: Order, *, first_us: int, modified_us: int) -> tuple[Order, str]:
    """Fill in the Study Date and Time; returns a remark where they are only likely.

    first_us: the first frame's own time; modified_us: when its file was written. UNKNOWN each.
    """
    if order.study_date:
        return order, ""
    likely = first_us if first_us != times.UNKNOWN else modified_us
    if likely == times.UNKNOWN:
        return order, "The Study Date is not known."
    moment = times.to_datetime(likely)
    changes = {"study_date": f"{moment:%Y%m%d}"}
    if first_us != times.UNKNOWN:
        if not order.study_time:
            changes["study_time"] = f"{moment:%H%M%S}"
        return order.model_copy(update=changes), ""
    remark = "The Study Date is the day the first file was written: nothing else says it."
    return order.model_copy(update=changes), remark
