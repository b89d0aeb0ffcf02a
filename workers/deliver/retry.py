"""Pure: how long to wait before the next attempt."""

from gateway.settings import Settings

_DOUBLINGS_MAX = 30


def delay_s(tries: int, settings: Settings, *, random: float) -> float:
    """Return the seconds until the next attempt, after `tries` attempts without progress.

    retry_base_s, doubled with each try up to retry_max_s, then between half of it and all of
    it: a hundred transfers that failed together must not come back together.
    random: 0 to 1, drawn by the caller.
    """
    doublings = min(max(0, tries - 1), _DOUBLINGS_MAX)
    longest = min(settings.retry_max_s, settings.retry_base_s * 2.0**doublings)
    return longest * (0.5 + random / 2)
