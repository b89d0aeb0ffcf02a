"""C-FIND at IMAGE level by SOP Instance UID: enough to ask a PACS back what it has."""

from collections.abc import Iterator

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt

from gateway.simulator.pacs_store import InstanceFolder

_PENDING, _CANCELLED, _UNABLE_TO_PROCESS, _DOES_NOT_MATCH = 0xFF00, 0xFE00, 0xC000, 0xA900


def find_instances(
    event: evt.Event, folder: InstanceFolder
) -> Iterator[tuple[int, Dataset | None]]:
    """Handle C-FIND-RQ (PS3.4 C.4.1): yield a Pending response per instance that matches."""
    query = event.identifier
    wanted = query.get("SOPInstanceUID")
    if query.get("QueryRetrieveLevel") != "IMAGE" or not wanted:
        yield _DOES_NOT_MATCH, None
        return
    for sop_instance_uid in [wanted] if isinstance(wanted, str) else wanted:
        if event.is_cancelled:
            yield _CANCELLED, None
            return
        path = folder.path_of(sop_instance_uid)
        if path is None:
            continue
        stored = dcmread(path, stop_before_pixels=True)
        if _matches(query, stored):
            yield _PENDING, _response(query, stored)


def _matches(query: Dataset, stored: Dataset) -> bool:
    keys = ("StudyInstanceUID", "SeriesInstanceUID")
    return all(not query.get(key) or query.get(key) == stored.get(key) for key in keys)


def _response(query: Dataset, stored: Dataset) -> Dataset:
    """Return the keys asked for, with the stored values, empty where there are none."""
    response = Dataset()
    for element in query:
        if element.tag in stored:
            response.add(stored[element.tag])
        else:
            response.add_new(element.tag, element.VR, None)
    response.QueryRetrieveLevel = "IMAGE"
    response.SpecificCharacterSet = stored.get("SpecificCharacterSet", "ISO_IR 6")
    return response
