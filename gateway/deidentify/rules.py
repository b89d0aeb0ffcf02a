"""Pure: what may be in a de-identified instance. What is not named here is not copied.

For each attribute, what PS3.15 Table E.1-1 asks for, and no more than our instances need. The
table itself is the oracle of the tests.
"""

from dataclasses import dataclass
from enum import Enum, auto

from gateway.deidentify.profile import Option


class Action(Enum):
    KEEP = auto()
    REMOVE = auto()
    EMPTY = auto()  # zero length (Z)
    STUDY_UID = auto()
    INSTANCE_UID = auto()  # of a SOP Instance or a Series
    OTHER_UID = auto()
    ITEMS = auto()  # a sequence: each item is built in the same way
    CODES = auto()  # a sequence of codes of public schemes
    CONTENT = auto()  # the content tree of a document of ours
    OWN_TEXT = auto()  # lines this gateway wrote
    MOMENT = auto()  # a date, time or both: as the profile says, else as `otherwise` says
    DUMMY = auto()  # a fixed date or time where one must be (D)
    PSEUDONYM = auto()


@dataclass(frozen=True)
class Rule:
    """otherwise: what is done unless the profile has the option, or keeps dates."""

    action: Action
    option: Option | None = None
    otherwise: Action = Action.REMOVE


_KEEP = Rule(Action.KEEP)
_IMAGE = (
    "ImageType", "SOPClassUID", "Modality", "ConversionType", "SeriesNumber", "InstanceNumber",
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions",
    "SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName",
    "SecondaryCaptureDeviceSoftwareVersions",
    "BodyPartExamined", "Laterality", "ImageLaterality", "PatientOrientation",
    "FrameTime", "FrameTimeVector", "FrameDelay", "FrameIncrementPointer", "CineRate",
    "StartTrim", "StopTrim", "EffectiveDuration", "RecommendedDisplayFrameRate",
    "PreferredPlaybackSequencing", "ActualFrameDuration",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "PixelAspectRatio", "PixelSpacing", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "SmallestImagePixelValue", "LargestImagePixelValue",
    "PixelPaddingValue", "BurnedInAnnotation", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "ICCProfile", "ColorSpace", "NominalScannedPixelSpacing", "ShutterShape",
    "ReferencedSOPClassUID", "ReferencedFrameNumber", "SpatialLocationsPreserved",
    "RepresentativeFrameNumber",
)  # fmt: skip
"""Of the picture, the device's make, and what is said of frames; relative times among it."""
_DOCUMENT = (
    "ContinuityOfContent", "CompletionFlag", "VerificationFlag", "PreliminaryFlag",
    "MappingResource", "TemplateIdentifier", "CodingSchemeDesignator", "CodingSchemeName",
    "CodingSchemeResponsibleOrganization", "CodingSchemeVersion", "CodeValue", "CodeMeaning",
    "LongCodeValue", "RelationshipType", "ValueType", "NumericValue",
)  # fmt: skip
_CODES = (
    "AnatomicRegionSequence", "AnatomicRegionModifierSequence",
    "PrimaryAnatomicStructureSequence", "PurposeOfReferenceCodeSequence",
    "DerivationCodeSequence", "ConceptNameCodeSequence", "ConceptCodeSequence",
    "MeasurementUnitsCodeSequence", "ProcedureCodeSequence",
)  # fmt: skip
_ITEMS = (
    "ContributingEquipmentSequence", "SourceImageSequence", "ReferencedSOPSequence",
    "ReferencedSeriesSequence", "CurrentRequestedProcedureEvidenceSequence",
    "ContentTemplateSequence", "CodingSchemeIdentificationSequence", "MeasuredValueSequence",
)  # fmt: skip
_EMPTIED = (
    "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "StudyID",
    "AcquisitionContextSequence", "ReferencedPerformedProcedureStepSequence",
    "PerformedProcedureCodeSequence",
)  # fmt: skip
_CHARACTERISTICS = (
    "PatientAge", "PatientSize", "PatientWeight", "PatientSexNeutered", "EthnicGroup",
)  # fmt: skip
_DEVICE = (
    "DeviceSerialNumber", "StationName", "GantryID", "DetectorID", "PlateID", "CassetteID",
    "UniqueDeviceIdentifier",
)  # fmt: skip
_INSTITUTION = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName")

RULES: dict[str, Rule] = {
    **dict.fromkeys((*_IMAGE, *_DOCUMENT), _KEEP),
    **dict.fromkeys(_CODES, Rule(Action.CODES)),
    **dict.fromkeys(_ITEMS, Rule(Action.ITEMS)),
    **dict.fromkeys(_EMPTIED, Rule(Action.EMPTY)),
    "ContentSequence": Rule(Action.CONTENT),
    "TextValue": Rule(Action.OWN_TEXT),
    "PatientName": Rule(Action.PSEUDONYM),
    "PatientID": Rule(Action.PSEUDONYM),
    "PatientSex": Rule(Action.KEEP, Option.PATIENT_CHARACTERISTICS, Action.EMPTY),
    **dict.fromkeys(_CHARACTERISTICS, Rule(Action.KEEP, Option.PATIENT_CHARACTERISTICS)),
    **dict.fromkeys(_DEVICE, Rule(Action.KEEP, Option.DEVICE_IDENTITY)),
    "DeviceUID": Rule(Action.KEEP, Option.DEVICE_IDENTITY, Action.OTHER_UID),
    **dict.fromkeys(_INSTITUTION, Rule(Action.KEEP, Option.INSTITUTION_IDENTITY)),
    "SeriesDescription": Rule(Action.KEEP, Option.DESCRIPTORS),
    "StudyInstanceUID": Rule(Action.STUDY_UID),
    "SeriesInstanceUID": Rule(Action.INSTANCE_UID),
    "SOPInstanceUID": Rule(Action.INSTANCE_UID),
    "ReferencedSOPInstanceUID": Rule(Action.INSTANCE_UID),
    "FrameOfReferenceUID": Rule(Action.OTHER_UID),
    "SynchronizationFrameOfReferenceUID": Rule(Action.OTHER_UID),
    "UID": Rule(Action.OTHER_UID),
    "StudyDate": Rule(Action.MOMENT, otherwise=Action.EMPTY),
    "StudyTime": Rule(Action.MOMENT, otherwise=Action.EMPTY),
    "ContentDate": Rule(Action.MOMENT, otherwise=Action.DUMMY),
    "ContentTime": Rule(Action.MOMENT, otherwise=Action.DUMMY),
    **dict.fromkeys(
        (
            "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
            "AcquisitionDateTime", "InstanceCreationDate", "InstanceCreationTime",
            "ContributionDateTime", "DateOfSecondaryCapture", "TimeOfSecondaryCapture",
            "TimezoneOffsetFromUTC",
        ),
        Rule(Action.MOMENT),
    ),
}  # fmt: skip

OWN_DESCRIPTIONS = frozenset(
    {"Key objects", "Key frames", "Contact sheet", "Capsule report", "Capsule frames",
     "Preview", "Rejection notes"}
)  # fmt: skip
"""Series Descriptions this gateway writes; a number may follow."""
PUBLIC_SCHEMES = frozenset({"DCM", "SCT", "SRT", "LN", "UCUM", "RADLEX", "RFC5646", "99CAPSGW"})
"""Codes of other schemes are local: what they mean is text somebody typed."""
CONTENT_TYPES = frozenset({"CONTAINER", "CODE", "NUM", "TEXT", "IMAGE", "COMPOSITE", "UIDREF"})
"""Value Types of content items; people, dates and whatever else there is are not copied."""
