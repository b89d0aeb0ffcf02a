"""Text in every character set sources send, declared rightly, wrongly or not at all."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.dicom import charsets
from gateway.dicom.charsets import Reason
from gateway.errors import ConfigurationError

CHINESE = "王^小东"
GB_2312_LEVEL_1 = "".join(
    bytes((lead, trail)).decode("gb2312", "ignore")
    for lead in range(0xB0, 0xD8)
    for trail in range(0xA1, 0xFF)
)
EVERYDAY = st.text(GB_2312_LEVEL_1, min_size=2, max_size=12)
"""Characters of which most Chinese names are made."""
LATIN_NAMES = st.sampled_from(
    ["Buc^Jérôme", "Äneas^Rüdiger", "Müller^Jörg", "Núñez^José", "Ångström^Åse", "Lefèvre^Chloé"]
)


def esc(designation: str) -> bytes:
    return b"\x1b" + designation.encode()


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        # PS3.5 Annex H, I, J and K: the examples of the standard.
        (["", "ISO 2022 IR 87"],
         b"Yamada^Tarou=" + esc("$B") + b";3ED" + esc("(B") + b"^" + esc("$B") + b"B@O:" + esc("(B")
         + b"=" + esc("$B") + b"$d$^$@" + esc("(B") + b"^" + esc("$B") + b"$?$m$&" + esc("(B"),
         "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"],
         b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + esc("$B") + b";3ED" + esc("(J") + b"^" + esc("$B")
         + b"B@O:" + esc("(J"), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (["", "ISO 2022 IR 149"],
         b"Hong^Gildong=" + esc("$)C") + b"\xfb\xf3^" + esc("$)C") + b"\xd1\xce\xd4\xd7="
         + esc("$)C") + b"\xc8\xab^" + esc("$)C") + b"\xb1\xe6\xb5\xbf",
         "Hong^Gildong=洪^吉洞=홍^길동"),
        (["", "ISO 2022 IR 58"],
         b"Zhang^XiaoDong=" + esc("$)A") + b"\xd5\xc5^" + esc("$)A") + b"\xd0\xa1\xb6\xab=",
         "Zhang^XiaoDong=张^小东="),
        (["ISO_IR 192"], "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
        (["GB18030"], "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
        # Single-byte sets.
        (["ISO_IR 100"], "Buc^Jérôme".encode("latin-1"), "Buc^Jérôme"),
        (["ISO_IR 101"], "Wałęsa^Łukasz".encode("iso8859-2"), "Wałęsa^Łukasz"),
        (["ISO_IR 144"], "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг"),
        (["ISO_IR 126"], "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
        (["ISO_IR 127"], "قباني^لنزار".encode("iso8859-6"), "قباني^لنزار"),
        (["ISO_IR 138"], "שרון^דבורה".encode("iso8859-8"), "שרון^דבורה"),
        (["ISO_IR 166"], "สมชาย".encode("tis-620"), "สมชาย"),
        (["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (["ISO_IR 203"], "Œuvre^€".encode("iso8859-15"), "Œuvre^€"),
    ],
)  # fmt: skip
def test_what_is_declared_rightly_is_read_as_declared(declared, raw, text):
    sets = charsets.choose([raw], declared)
    assert (sets.decode(raw), sets.reason, sets.doubtful) == (text, Reason.DECLARED, False)


@pytest.mark.parametrize("declared", [[], [""], ["ISO_IR 6"], ["ISO_IR 100"], ["ISO_IR 999"]])
@given(family=EVERYDAY, given_name=EVERYDAY)
def test_chinese_under_a_wrong_or_no_declaration_is_read_by_its_bytes(declared, family, given_name):
    name = f"{family[:2]}^{given_name}"
    raw = name.encode("gb18030")
    # GBK that is UTF-8 by chance cannot be told apart: two pairs in a million names.
    assume(not _is_utf8(raw))
    sets = charsets.choose([raw], declared)
    assert sets.decode(raw) == name
    assert sets.reason is Reason.BYTES


@pytest.mark.parametrize(
    "declared", [[], ["ISO_IR 6"], ["ISO_IR 100"], ["ISO_IR 101"], ["GB18030"]]
)
@given(name=EVERYDAY)
def test_utf_8_that_nobody_declared_is_read_as_utf_8(declared, name):
    raw = f"Wang^Xiao={name}".encode()
    assert charsets.choose([raw], declared).decode(raw) == f"Wang^Xiao={name}"


@pytest.mark.parametrize("declared", [[], ["ISO_IR 100"]])
@given(name=LATIN_NAMES)
def test_accented_names_stay_latin_although_they_could_be_gbk(declared, name):
    raw = name.encode("latin-1")
    assert charsets.choose([raw], declared).decode(raw) == name


def test_gb18030_declared_as_utf_8_is_read_as_what_it_is():
    raw = f"Wang^XiaoDong={CHINESE}".encode("gb18030")
    sets = charsets.choose([raw], ["ISO_IR 192"])
    assert (str(sets), sets.decode(raw)) == ("GB18030", f"Wang^XiaoDong={CHINESE}")


@given(st.text(st.characters(codec="gb18030", exclude_categories=("Cs", "Cc", "Co")), max_size=20))
def test_gb18030_round_trips_whatever_its_bytes_look_like(text):
    text = text.rstrip(" \0")
    raw = text.encode("gb18030")
    assert charsets.choose([raw], ["GB18030"]).decode(raw) == text or _is_utf8(raw)


SECOND_BYTE_TRAPS = [
    character
    for trail in (0x5C, 0x5E, 0x7C)
    for lead in range(0x81, 0xFE)
    for character in [bytes((lead, trail)).decode("gb18030", "ignore")]
    if len(character) == 1
]


@pytest.mark.parametrize("declared", ["GBK", "GB18030"])
def test_a_backslash_inside_a_gbk_character_is_no_delimiter(declared):
    for character in SECOND_BYTE_TRAPS:
        raw = f"王^{character}\\李".encode("gb18030")
        assert charsets.choose([raw], [declared]).decode(raw) == f"王^{character}\\李"


def test_delimiters_inside_a_jis_character_are_none():
    # The bytes of these characters are 3D 50, 5C 5C and 5E 5E: =P, \\ and ^^.
    text = "出" + b"\x1b$B\x5c\x5c\x1b(B".decode("iso2022_jp")
    raw = esc("$B") + b"\x3d\x50\x5c\x5c" + esc("(B") + b"^" + b"Taro"
    assert charsets.choose([raw], ["", "ISO 2022 IR 87"]).decode(raw) == f"{text}^Taro"


HANGUL = [chr(code) for code in range(0xAC00, 0xD7A4) if len(chr(code).encode("euc_kr")) == 2]


@given(st.text(st.sampled_from(HANGUL), min_size=1, max_size=10))
def test_korean_round_trips_through_code_extension(text):
    raw = b"Hong=" + esc("$)C") + text.encode("euc_kr")
    assert charsets.choose([raw], ["", "ISO 2022 IR 149"]).decode(raw) == f"Hong={text}"


@given(st.text(st.characters(codec="iso2022_jp", categories=("Lo",)), min_size=1, max_size=10))
def test_japanese_round_trips_through_code_extension(text):
    raw = text.encode("iso2022_jp")
    assert charsets.choose([raw], ["", "ISO 2022 IR 87"]).decode(raw) == text


def test_escape_sequences_are_followed_where_nothing_declares_them():
    raw = b"Wang=" + esc("$)A") + "王^".encode("gb2312") + esc("$)A") + "小东".encode("gb2312")
    sets = charsets.choose([raw], ["ISO_IR 100"])
    assert sets.decode(raw) == f"Wang={CHINESE}"
    assert sets.terms == ("ISO_IR 100", "ISO 2022 IR 58")
    assert sets.reason is Reason.BYTES


def test_a_family_name_only_vendors_have_in_jis_is_read():
    raw = esc("$B") + b"\x7c\x62" + esc("(B")  # row 92, cell 66: a kanji NEC added
    assert charsets.choose([raw], ["", "ISO 2022 IR 87"]).decode(raw) == "髙"


def test_what_an_operator_knows_comes_before_what_is_declared():
    raw = "홍^길동".encode("cp949")
    assert charsets.choose([raw], ["ISO_IR 100"]).decode(raw) != "홍^길동"
    sets = charsets.choose([raw], ["ISO_IR 100"], "EUC-KR")
    assert (sets.decode(raw), sets.reason) == ("홍^길동", Reason.OVERRIDE)


def test_an_override_that_cannot_be_is_not_followed():
    raw = "Wang=王".encode()
    assert charsets.choose([raw], ["ISO_IR 192"], "ISO_IR 6").decode(raw) == "Wang=王"


def test_bytes_that_could_mean_two_things_leave_a_doubt():
    sets = charsets.choose(["姚^小".encode("gb18030")], [])  # Cyrillic letters in UTF-8, too
    assert (sets.decode("姚^小".encode("gb18030")), sets.doubtful) == ("姚^小", False)
    assert charsets.choose(["犇^犇".encode("gb18030")], []).doubtful


def test_utf_8_in_two_bytes_a_character_stays_what_it_is():
    for name in ("Müller^Jörg", "Иванов^Пётр", "Παπαδόπουλος^Γιώργος"):
        assert charsets.choose([name.encode()], ["ISO_IR 100"]).decode(name.encode()) == name


@pytest.mark.parametrize("given_term", ["gb18030", "UTF-8", "iso_ir_100", "ISO 2022 IR 58", "gbk"])
def test_an_operator_may_spell_a_character_set_in_several_ways(given_term):
    assert charsets.normal_term(given_term) in charsets.TERMS


def test_a_character_set_nobody_reads_is_refused_with_those_that_are():
    with pytest.raises(ConfigurationError, match="GB18030"):
        charsets.normal_term("klingon")


@given(st.binary(max_size=40), st.lists(st.sampled_from(["", *charsets.TERMS, "x"]), max_size=3))
def test_any_bytes_under_any_declaration_become_some_text(raw, declared):
    sets = charsets.choose([raw], declared)
    try:
        sets.decode(raw)
    except UnicodeDecodeError:
        charsets.decode_damaged(raw, sets.terms)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
