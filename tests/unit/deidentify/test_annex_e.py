"""The rules against Table E.1-1 of PS3.15, edition 2024e: nothing is kept that it takes away."""

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from gateway.deidentify import build, rules
from gateway.deidentify.profile import Dates, Option, Profile
from gateway.deidentify.pseudonyms import Domain

TABLE = Path(__file__).with_name("table_e1_1.tsv")
DOMAIN = Domain(b"k" * 32)
OPTIONS = {
    Option.PATIENT_CHARACTERISTICS: "patient",
    Option.DEVICE_IDENTITY: "device",
    Option.INSTITUTION_IDENTITY: "institution",
    Option.DESCRIPTORS: "descriptors",
}
DATES = {Dates.FULL: "full", Dates.SHIFTED: "modified"}
VALUES = {
    "DA": "19691231", "TM": "112233", "DT": "19691231112233", "AS": "077Y", "UI": "1.2.3.4.5",
    "PN": "Sentinel^Value", "IS": "7", "DS": "7.5", "US": 7, "UL": 7, "FD": 7.5, "FL": 7.5,
    "SS": 7, "SL": 7, "CS": "SENTINEL", "AE": "SENTINEL", "AT": 0x00100010,
}  # fmt: skip
BYTES = {"OB", "OW", "OF", "OD", "UN"}


def rows():
    for line in TABLE.read_text().splitlines():
        if line.startswith(("#", "gggg")) or "x" in line.split("\t")[0]:
            continue
        tag, basic, *rest = line.split("\t")
        options = dict(one.split(":") for one in " ".join(rest).split())
        if keyword_for_tag(int(tag, 16)):
            yield pytest.param(Tag(int(tag, 16)), basic, options, id=keyword_for_tag(int(tag, 16)))


def element(tag) -> DataElement:
    vr = dictionary_VR(tag).split(" ")[0]
    if vr == "SQ":
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.1"
        item.ReferencedSOPInstanceUID = "1.2.3.4.5"
        item.PatientComments = "sentinel"
        return DataElement(tag, "SQ", Sequence([item]))
    if vr in BYTES:
        return DataElement(tag, vr, b"sentinel")
    return DataElement(tag, vr, VALUES.get(vr, "sentinel"))


def instance(tag) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
    ds.PatientID, ds.PatientName = "PID", "Na^Me"
    with disable_value_validation():
        ds.add(element(tag))
    return ds


def deidentified(ds: Dataset, profile: Profile) -> Dataset:
    subject = build.subject_of(ds, patient_id="", issuer="", known=frozenset())
    made, _ = build.build(ds, profile, DOMAIN, subject, pixels_cleaned=False)
    return made


def allowed(tag, basic: str, codes: set[str], before: DataElement, after: Dataset) -> bool:
    """Tell whether what became of an attribute is what one of the codes allows."""
    if tag not in after:
        return "X" in codes
    value = after[tag].value
    if before.VR == "SQ":
        if not value:
            return "Z" in codes
        item = value[0]
        renamed = str(item.get("ReferencedSOPInstanceUID", "")) != "1.2.3.4.5"
        return renamed and "PatientComments" not in item and bool({"U*", "D", "C"} & codes)
    if value == before.value:
        # Moved by whole days, the time of day is what is clean about it (E.3.6).
        return "K" in codes or (before.VR == "TM" and "C" in codes)
    return bool({"Z", "D", "U", "C"} & codes)


def check(tag, basic: str, given: set[str], profile: Profile) -> None:
    ds = instance(tag)
    before = DataElement(tag, ds[tag].VR, ds[tag].value)
    after = deidentified(ds, profile)
    assert allowed(tag, basic, set(basic.split("/")) | given, before, after), after.get(tag)


@pytest.mark.parametrize(("tag", "basic", "options"), rows())
def test_the_basic_profile_leaves_nothing_the_table_takes_away(tag, basic, options) -> None:
    # Not to copy an attribute is always safe: types are what dciodvfy watches over.
    check(tag, basic, {"X"}, Profile())


@pytest.mark.parametrize(("tag", "basic", "options"), rows())
@pytest.mark.parametrize("dates", DATES)
def test_with_every_option_only_what_these_options_allow_is_kept(
    tag, basic, options, dates
) -> None:
    ours = {*OPTIONS.values(), DATES[dates]}
    codes = {code for name, code in options.items() if name in ours}
    check(tag, basic, {"X", *codes}, Profile(dates, frozenset(OPTIONS)))


@pytest.mark.parametrize(("tag", "basic", "options"), rows())
def test_shifted_dates_are_never_the_dates_of_the_source(tag, basic, options) -> None:
    ds = instance(tag)
    if ds[tag].VR in ("DA", "DT"):
        after = deidentified(ds, Profile(Dates.SHIFTED, frozenset(OPTIONS)))
        assert "19691231" not in str(after.get(tag, ""))


def test_the_table_is_whole() -> None:
    assert len(list(rows())) > 550


def test_every_rule_is_of_an_attribute_of_the_dictionary() -> None:
    assert all(Tag(keyword) for keyword in rules.RULES)


def test_private_and_unknown_attributes_are_not_copied() -> None:
    ds = instance(Tag("PatientComments"))
    block = ds.private_block(0x0029, "SENTINEL", create=True)
    block.add_new(1, "LO", "sentinel")
    ds.add(DataElement(0x00187FFE, "LO", "sentinel"))  # in no edition so far
    assert "sentinel" not in str(deidentified(ds, Profile(Dates.FULL, frozenset(OPTIONS)))).lower()


def test_text_that_is_kept_does_not_say_who_the_patient_is() -> None:
    ds = instance(Tag("Modality"))
    ds.PatientName, ds.Manufacturer = "Zyxwv^Quentin", "Built for Mr ZYXWV"
    ds.ManufacturerModelName = "Capsule 3"
    made = deidentified(ds, Profile())
    assert (made.Manufacturer, made.ManufacturerModelName) == ("", "Capsule 3")


def test_an_age_that_alone_tells_who_it_is_becomes_ninety() -> None:
    ds = instance(Tag("Modality"))
    ds.PatientAge = "103Y"
    profile = Profile(options=frozenset({Option.PATIENT_CHARACTERISTICS}))
    assert deidentified(ds, profile).PatientAge == "090Y"


def test_codes_of_private_schemes_are_not_copied() -> None:
    ds = instance(Tag("Modality"))
    codes = []
    for scheme in ("99LOCAL", "SCT"):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", scheme, "words"
        codes.append(item)
    ds.ProcedureCodeSequence = Sequence(codes)
    (kept,) = deidentified(ds, Profile()).ProcedureCodeSequence
    assert kept.CodingSchemeDesignator == "SCT"
