"""Pure: the keys we support, per level of the Query/Retrieve models (PS3.4 C.6.1.1, C.6.2.1).

The table answers queries and is printed in docs/conformance.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(IntEnum):
    """From the top down."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


@dataclass(frozen=True)
class SupportedKey:
    """kind: U unique, R required, O optional. counted: only answered, never matched."""

    keyword: str
    level: Level
    kind: str = "O"
    counted: bool = False
    vr: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vr", dictionary_VR(self.keyword))


UNIQUE: Mapping[Level, str] = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}

_REQUIRED = {
    Level.PATIENT: ("PatientName",),
    Level.STUDY: ("StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    Level.SERIES: ("Modality", "SeriesNumber"),
    Level.IMAGE: ("InstanceNumber",),
}
_OPTIONAL = {
    Level.PATIENT: ("IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        "ModalitiesInStudy", "SOPClassesInStudy", "StudyDescription", "ReferringPhysicianName",
        "PatientAge", "TimezoneOffsetFromUTC",
    ),
    Level.SERIES: (
        "SeriesDescription", "SeriesDate", "SeriesTime", "BodyPartExamined", "ProtocolName",
        "Laterality", "PerformingPhysicianName", "OperatorsName", "Manufacturer",
        "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "StationName",
        "InstitutionName", "InstitutionalDepartmentName", "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
    ),
    Level.IMAGE: (
        "SOPClassUID", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "ImageType",
        "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime",
        "InstanceCreationDate", "InstanceCreationTime", "PhotometricInterpretation",
        "LossyImageCompression", "BurnedInAnnotation", "ImageComments",
        "AvailableTransferSyntaxUID",
    ),
}  # fmt: skip
_COUNTED = {
    Level.PATIENT: (
        "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    ),
    Level.STUDY: ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
    Level.SERIES: ("NumberOfSeriesRelatedInstances",),
}  # fmt: skip

TABLE: tuple[SupportedKey, ...] = tuple(
    SupportedKey(keyword, level, kind, counted)
    for level in Level
    for kind, counted, keywords in (
        ("U", False, (UNIQUE[level],)),
        ("R", False, _REQUIRED[level]),
        ("O", False, _OPTIONAL[level]),
        ("O", True, _COUNTED.get(level, ())),
    )
    for keyword in keywords
)
BY_TAG: Mapping[int, SupportedKey] = {
    tag: key for key in TABLE if (tag := tag_for_keyword(key.keyword)) is not None
}
BY_KEYWORD: Mapping[str, SupportedKey] = {key.keyword: key for key in TABLE}

PAIRS = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)
"""A date and a time that are one moment, for combined date-time matching."""

CHARACTER_SET, LEVEL_TAG = 0x00080005, 0x00080052
RETRIEVE_AE_TITLE, AVAILABILITY = 0x00080054, 0x00080056
ALWAYS_ANSWERED = frozenset({CHARACTER_SET, LEVEL_TAG, RETRIEVE_AE_TITLE, AVAILABILITY})
"""No keys: they say how to read the others, or where what is found can be had."""
