"""Pure: has a peer on an established association been too slow, or silent for too long?"""

BYTES_PER_S_MIN = 1024
"""What is under way must come at this rate on average, after a first DIMSE time-out.

An instance of 25 KB may so take 85 s and one of 500 MB nearly six days: slower links than
that (9,600 baud) carry no images. A byte a minute, though, holds nothing for ever.
"""


class Pace:
    """One association's. Times are monotonic seconds; ask again and again, by one thread.

    received: bytes read so far. rested: how many of them had been read when last nothing was
    under way, neither a PDU nor a message; equal to received while nothing is.
    """

    def __init__(self, *, idle_timeout_s: float, dimse_timeout_s: float, now_s: float) -> None:
        self._idle_timeout_s, self._dimse_timeout_s = idle_timeout_s, dimse_timeout_s
        self._received = self._rested = 0
        self._heard_s = self._rested_s = now_s

    def judge(self, *, received: int, rested: int, now_s: float) -> str:
        """Return why the association is to be aborted, in words; empty while all is well."""
        if received != self._received:
            self._received, self._heard_s = received, now_s
        if rested != self._rested or received == rested:
            self._rested, self._rested_s = rested, now_s
        if now_s - self._heard_s > self._idle_timeout_s:
            return f"Nothing came for {self._idle_timeout_s:g} s (CAPSULE_IDLE_TIMEOUT_S)."
        allowed_s = self._dimse_timeout_s + (received - rested) / BYTES_PER_S_MIN
        if now_s - self._rested_s > allowed_s:
            return (
                f"A message was not whole after {allowed_s:.0f} s"
                f" (CAPSULE_DIMSE_TIMEOUT_S, {received - rested} bytes had come)."
            )
        return ""

    def excuse(self, now_s: float) -> None:
        """Start counting anew: it was we who did not read."""
        self._heard_s = self._rested_s = now_s
