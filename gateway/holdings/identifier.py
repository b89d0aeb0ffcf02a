"""Pure: what a query asks, wherever it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.dicom import matching
from gateway.holdings import keys
from gateway.holdings.keys import Level


@dataclass(frozen=True)
class Identifier:
    """What is asked. keys: supported ones by keyword, with the text to match, empty for any.

    returned: their keywords in the order of their tags. unsupported: whether there were others.
    charset: Specific Character Set of the request, as declared.
    """

    level: Level
    keys: Mapping[str, str] = field(default_factory=dict)
    unsupported: bool = False
    charset: Sequence[str] = ()

    def values(self, keyword: str) -> tuple[str, ...]:
        """Return the alternatives a key names; none if it matches anything."""
        vr = keys.BY_KEYWORD[keyword].vr
        key = self.keys.get(keyword, "")
        if matching.is_universal(vr, key):
            return ()
        return tuple(one.strip(" \0") for one in matching.alternatives(vr, key))
