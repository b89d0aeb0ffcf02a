"""What stored instances say about themselves, as far as queries ask for it."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from gateway import log
from gateway.dicom import identity, part10, text
from gateway.dicom.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from gateway.errors import StorageError, Undecodable
from gateway.holdings.keys import TABLE, Level
from gateway.packs import reading

HEAD_BYTES = 1 << 20
"""Read of an instance, at most. Before what we look for lie some 130 bytes per frame."""
REMEMBERED_MAX = 2000

Values = Mapping[str, Sequence[str]]

_TAGS = {
    tag: key.keyword
    for key in TABLE
    if key.level >= Level.SERIES and (tag := tag_for_keyword(key.keyword)) is not None
}
_LAST_TAG = max(_TAGS)
_logger = log.get(__name__)


@dataclass(frozen=True)
class Place:
    """Where an instance lies. It never changes: what is made anew has another name."""

    storage_key: str
    offset_bytes: int
    size_bytes: int


class Headers:
    """Reads headers and remembers the latest."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known: OrderedDict[Place, Values] = OrderedDict()

    def of(self, place: Place) -> Values:
        """Return values by keyword; nothing of an instance that cannot be read."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._read(place)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return known

    def _read(self, place: Place) -> Values:
        size = min(place.size_bytes, HEAD_BYTES)
        try:
            head = reading.read_range(self._home / place.storage_key, place.offset_bytes, size)
            meta = part10.parse_file_meta(head)
            if meta.transfer_syntax_uid == DEFLATED:
                return {}
            ds = read_dataset(
                BytesIO(head[meta.data_set_offset :]),
                is_implicit_VR=meta.transfer_syntax_uid == IMPLICIT_LITTLE,
                is_little_endian=meta.transfer_syntax_uid != EXPLICIT_BIG,
                stop_when=lambda tag, _vr, _length: tag > _LAST_TAG,
                specific_tags=[0x00080005, *_TAGS],
            )
            text.decode_all(ds)
            return {
                keyword: found
                for tag in _TAGS
                if (found := _texts(ds, tag))
                for keyword in (_TAGS[tag],)
            }
        except (StorageError, Undecodable, *identity.UNREADABLE) as error:
            _logger.warning("query.header-unreadable", key=place.storage_key, error=str(error))
            return {}


def _texts(ds: Dataset, tag: int) -> list[str]:
    if tag not in ds or ds[tag].value is None:
        return []
    value = ds[tag].value
    return [str(one) for one in value] if isinstance(value, MultiValue) else [str(value)]
