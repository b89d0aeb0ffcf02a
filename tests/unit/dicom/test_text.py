"""Identity as sources write it, in one data set: decoded, kept, and doubted where needed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from gateway.dicom import identity, part10, text
from gateway.dicom.storage_classes import EXPLICIT_LITTLE
from gateway.errors import Undecodable
from tests.conftest import ROOT
from tests.instances import data_set, encoded

SAMPLES = ROOT.parent / "shared" / "data" / "dicom-samples"


def written(charset: str | None, **values: object) -> bytes:
    """Return a data set with raw bytes in its text elements, whatever it declares."""
    ds = data_set(1, SpecificCharacterSet=charset, PatientName="", PatientID="")
    raw = encoded(ds)
    for keyword, value in values.items():
        holder = Dataset()
        setattr(holder, keyword, "")
        empty = encoded(holder)
        filled = value + b" " * (len(value) % 2)
        raw = raw.replace(empty, empty[:6] + len(filled).to_bytes(2, "little") + filled)
    return raw


def read(raw: bytes, **more: str):
    return identity.read(raw, EXPLICIT_LITTLE, **more)[0]


def test_every_derived_instance_gets_the_three_groups_of_a_name():
    study = read(written("GB18030", PatientName="Wang^Xiao=王^小东=ワン".encode("gb18030")))
    ds = identity.as_dataset(study.attributes)
    assert study.patient_name == str(ds.PatientName) == "Wang^Xiao=王^小东=ワン"
    assert (ds.PatientName.ideographic, ds.PatientName.phonetic) == ("王^小东", "ワン")


def test_the_original_bytes_of_an_identifier_can_be_shown():
    raw = "王^小东".encode("gb18030")
    study = read(written("ISO_IR 100", PatientName=raw))
    assert study.patient_name == "王^小东"
    assert bytes.fromhex(study.text_origin.originals["PatientName"]).strip() == raw
    assert (study.text_origin.declared, study.text_origin.read_as) == ("ISO_IR 100", "GB18030")
    assert study.text_origin.because == "by its bytes"


def test_a_patient_id_keeps_every_character():
    study = read(written("ISO_IR 192", PatientID=b"  a\xc2\xb5-0^1=2"))
    assert identity.as_dataset(study.attributes).PatientID == "  aµ-0^1=2"


def test_the_word_of_an_operator_reaches_the_text():
    raw = written("ISO_IR 100", PatientName="홍^길동".encode("cp949"))
    assert read(raw, charset="EUC-KR").patient_name == "홍^길동"


@pytest.mark.parametrize(
    ("charset", "name", "doubt"),
    [
        ("GB18030", b"\xff\xff^\x81", "no characters"),
        ("GB18030", b"Wang^Xiao=?^??", "question marks"),
        ("ISO_IR 192", b"A" * 70, "longer than 64"),
        ("ISO_IR 192", b"a=b=c=d", "more than three"),
        ("ISO_IR 192", b"a^b^c^d^e^f", "more than five"),
        ("ISO_IR 192", "王\ue000".encode(), "private area"),
        ("ISO_IR 192", b"a\x07b", "control"),
        (None, "犇^犇".encode("gb18030"), "may mean something else"),
    ],
)
def test_a_name_that_cannot_be_sent_as_it_was_meant_is_flagged(charset, name, doubt):
    origin = read(written(charset, PatientName=name)).text_origin
    assert doubt in origin.doubts["PatientName"]
    assert bytes.fromhex(origin.originals["PatientName"]).rstrip() == name


@pytest.mark.parametrize("name", ["Who^What?", "O'Brien^Ann-Marie", "王^小东", ""])
def test_an_ordinary_name_is_not_flagged(name):
    assert not read(written("ISO_IR 192", PatientName=name.encode())).text_origin.doubts


def test_one_value_in_another_set_than_the_rest_is_read_by_itself():
    raw = written("ISO_IR 192", PatientName="王^小东".encode(), PatientID="李明".encode("gbk"))
    study = read(raw)
    assert (study.patient_name, study.patient_id) == ("王^小东", "李明")
    assert "other than the rest" in study.text_origin.doubts["PatientID"]


def test_items_that_declare_their_own_set_are_read_by_it():
    ds = data_set(1, SpecificCharacterSet="ISO_IR 100")
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 192"
    item.RequestedProcedureDescription = "胶囊内镜"
    ds.RequestAttributesSequence = Sequence([item])
    study = read(encoded(ds))
    found = identity.as_dataset(study.attributes).RequestAttributesSequence[0]
    assert found.RequestedProcedureDescription == "胶囊内镜"
    assert "SpecificCharacterSet" not in found


def test_all_text_of_a_data_set_can_be_brought_into_utf_8():
    ds = identity._read(written("GB18030", PatientName="乗^小".encode("gb18030")), EXPLICIT_LITTLE)
    text.decode_all(ds)
    again = identity._read(encoded(ds), EXPLICIT_LITTLE)
    assert (again.SpecificCharacterSet, str(again.PatientName)) == ("ISO_IR 192", "乗^小")


def _is_text(character: str) -> bool:
    return character not in "\\^=" and character.isprintable()


NAME = st.text(st.characters(codec="gb18030", exclude_categories=("C", "Z")), max_size=20).filter(
    lambda text: all(map(_is_text, text)) and "?" not in text
)


@given(st.lists(NAME, min_size=1, max_size=3))
def test_any_name_in_gb18030_comes_out_as_it_went_in(groups):
    name = "=".join(groups).rstrip("=")
    study = read(written("GB18030", PatientName=name.encode("gb18030")))
    if study.text_origin.read_as == "GB18030":
        assert str(identity.as_dataset(study.attributes).get("PatientName", "")) == name


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ("pydicom-charset/chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("pydicom-charset/chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("pydicom-charset/chrX2.dcm", "Wang^XiaoDong=王^小东"),
        ("pydicom-charset/chrGreek.dcm", "Διονυσιος"),
        ("fo-dicom/chrGB2312.dcm", "Zhang^XiaoDong=张^小东"),
        ("derived/valid/v09_sc_es_implicit_gbk_no_charset.dcm", "王小明"),
        ("derived/valid/v10_gbk_declared_iso_ir_100.dcm", "张^智宏"),
        ("derived/valid/v13_gb18030_4byte.dcm", "𠮷^野"),
        ("derived/valid/v14_gbk_backslash_trail.dcm", "乗^俓僜"),
    ],
)
def test_a_name_of_the_samples_is_read_as_it_is_meant(sample, name):
    if not (SAMPLES / sample).is_file():
        pytest.skip("the samples are not beside the project")
    content = (SAMPLES / sample).read_bytes()
    meta = part10.parse_file_meta(content)
    study, _ = identity.read(content[meta.data_set_offset :], meta.transfer_syntax_uid)
    assert str(identity.as_dataset(study.attributes).PatientName) == name


@given(st.binary(max_size=200))
def test_bytes_that_are_no_data_set_are_refused_by_name(raw):
    with contextlib.suppress(Undecodable):  # and nothing else
        identity.read(raw, EXPLICIT_LITTLE)
