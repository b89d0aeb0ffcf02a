"""Pure: text as sources really send it, decoded to Unicode (PS3.5 6.1, PS3.3 C.12.1.1.2).

What a data set declares is believed where its bytes can mean it. Where they cannot, or where
nothing but ASCII is declared, the bytes themselves say what they are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.dicom import iso2022
from gateway.errors import ConfigurationError

UTF_8, GB18030, LATIN_1, WINDOWS_1252 = "ISO_IR 192", "GB18030", "ISO_IR 100", "WINDOWS-1252"

_WHOLE = {
    # Without code extension (PS3.3 Table C.12-2 and C.12-5): one codec for all of the value.
    "": "ascii",
    "ISO_IR 6": "ascii",
    LATIN_1: "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis_620",
    UTF_8: "utf_8",
    GB18030: "gb18030",
    "GBK": "gb18030",  # of which it is a part
    # No terms of the standard, but what some sources write all the same: for the override.
    "GB2312": "gb18030",
    "BIG5": "cp950",
    "SHIFT_JIS": "cp932",
    "EUC-KR": "cp949",
    WINDOWS_1252: "cp1252",
    "WINDOWS-1251": "cp1251",
}
TERMS = (*(term for term in _WHOLE if term), "ISO_IR 13", *iso2022.TERMS)
"""What may be declared, and what an operator may say a source means."""

_MULTI_BYTE = frozenset({GB18030, "GBK", "GB2312"})
_OFTEN_WRONG = frozenset({"", "ISO_IR 6", LATIN_1})
"""What software declares that never thought about it."""
_CONTROLS = frozenset(range(0x80, 0xA0))
MARGIN = 1.0
"""Of the score: bytes that could mean two things this close leave a doubt."""

SURELY_CHINESE = 2.5


class Reason(StrEnum):
    """Why text is read in a character set."""

    DECLARED = "declared"
    OVERRIDE = "set for the source"
    BYTES = "by its bytes"


@dataclass(frozen=True)
class CharacterSets:
    """How the text of one data set is read. terms: as in Specific Character Set (0008,0005)."""

    terms: tuple[str, ...]
    reason: Reason
    doubtful: bool = False

    def __str__(self) -> str:
        return "\\".join(self.terms) or "ASCII"

    def decode(self, raw: bytes) -> str:
        """Return a value without padding. Raises UnicodeDecodeError if it is none of this."""
        return decode(raw, self.terms)


def choose(samples: Iterable[bytes], declared: Sequence[str], override: str = "") -> CharacterSets:
    """Say how the text of a data set is to be read.

    samples: its raw text values. declared: values of Specific Character Set, as they are there.
    override: what an operator knows about the source; empty if nothing.
    """
    telling = [one for one in samples if not one.isascii() or iso2022.ESCAPE in one]
    as_declared = CharacterSets(_normal(declared), Reason.DECLARED)
    if override and _fits(telling, (override,)):
        return CharacterSets((override,), Reason.OVERRIDE)
    if not telling:
        return as_declared
    if any(iso2022.ESCAPE in one for one in telling):
        return _extended(telling, as_declared)
    fits = _fits(telling, as_declared.terms)
    if _is_utf8(telling, as_declared):
        if as_declared.terms == (UTF_8,) or (fits and _means_chinese(telling, as_declared.terms)):
            return as_declared
        return CharacterSets((UTF_8,), Reason.BYTES)
    if fits and as_declared.terms[0] not in _OFTEN_WRONG:
        return as_declared
    return _by_score(telling, as_declared)


def decode(raw: bytes, terms: Sequence[str]) -> str:
    """Decode one value, all its parts. Raises UnicodeDecodeError.

    A backslash in the result is always a delimiter: one that is the second byte of a GBK or a
    JIS character was never one.
    """
    raw = raw.rstrip(b"\0 ")
    codec = _WHOLE.get(terms[0]) if len(terms) == 1 and iso2022.ESCAPE not in raw else None
    return iso2022.decode(raw, terms) if codec is None else raw.decode(codec)


def decode_damaged(raw: bytes, terms: Sequence[str]) -> str:
    """Decode what is no text in `terms`: U+FFFD stands where characters were."""
    codec = _WHOLE.get(terms[0] if terms else "", "ascii")
    return raw.rstrip(b"\0 ").replace(iso2022.ESCAPE, b"\xff").decode(codec, "replace")


def normal_term(text: str) -> str:
    """Return an operator's word for a character set as a term. Raises ConfigurationError."""
    wanted = " ".join(text.upper().replace("_IR_", "_IR ").split())
    wanted = {"UTF-8": UTF_8, "UTF8": UTF_8, "LATIN-1": LATIN_1}.get(wanted, wanted)
    if wanted and wanted not in TERMS:
        raise ConfigurationError(
            f"{text!r} is no character set this gateway reads. It reads {', '.join(TERMS)}."
        )
    return wanted


def _normal(declared: Sequence[str]) -> tuple[str, ...]:
    """Return the declared terms in their usual spelling; what nobody knows stays as it is."""
    terms = tuple(one.strip().upper().replace("ISO-IR", "ISO_IR") for one in declared)
    return terms or ("",)


def _fits(values: Iterable[bytes], terms: Sequence[str]) -> bool:
    try:
        texts = [decode(one, terms) for one in values]
    except UnicodeDecodeError:
        return False
    return not any(ord(character) in _CONTROLS for text in texts for character in text)


def _extended(telling: Sequence[bytes], as_declared: CharacterSets) -> CharacterSets:
    """Choose for text with escape sequences, which say themselves what follows them."""
    if _fits(telling, as_declared.terms) and iso2022.allows(as_declared.terms):
        return as_declared
    first = as_declared.terms[0] if as_declared.terms[0] in _WHOLE else ""
    if first in _MULTI_BYTE or first == UTF_8:
        first = ""
    return CharacterSets((first, *iso2022.used(telling)), Reason.BYTES)


def _is_utf8(telling: Sequence[bytes], as_declared: CharacterSets) -> bool:
    """Tell whether bytes are UTF-8, most of them: what is not is read by itself then."""
    texts = [text for one in telling if (text := _utf8(one))]
    long = any(ord(character) >= 0x800 for text in texts for character in text)
    if len(texts) < len(telling) and not (texts and as_declared.terms == (UTF_8,)):
        return long
    if long or as_declared.terms[0] not in _OFTEN_WRONG or not _fits(telling, (GB18030,)):
        return bool(texts)
    # Two bytes a character: a short Chinese name in GBK can look like that, too.
    return _score(telling, (GB18030,), _chinese) < SURELY_CHINESE or (
        _score(telling, (UTF_8,), _latin) >= SURELY_CHINESE
    )


def _utf8(raw: bytes) -> str:
    try:
        return raw.rstrip(b"\0 ").decode()
    except UnicodeDecodeError:
        return ""


def _means_chinese(telling: Sequence[bytes], terms: Sequence[str]) -> bool:
    """Tell whether bytes declared as Chinese that are UTF-8 as well had better be read so."""
    if terms[0] not in _MULTI_BYTE:
        return False
    return _score(telling, terms, _chinese) >= _score(telling, (UTF_8,), _any_script)


def _by_score(telling: Sequence[bytes], as_declared: CharacterSets) -> CharacterSets:
    found: list[tuple[float, int, str]] = []
    for rank, term, judge in (
        (2, LATIN_1, _latin),
        (1, GB18030, _chinese),
        (0, WINDOWS_1252, _latin),
    ):
        if _fits(telling, (term,)):
            found.append((_score(telling, (term,), judge), rank, term))
    if not found:
        return CharacterSets(as_declared.terms, Reason.DECLARED, doubtful=True)
    found.sort(reverse=True)
    best, _, term = found[0]
    if (term,) == as_declared.terms:
        return as_declared
    rival = max((score for score, _, other in found[1:] if other != WINDOWS_1252), default=-9.0)
    return CharacterSets((term,), Reason.BYTES, doubtful=best - rival < MARGIN or best < MARGIN)


Judge = Callable[[str, int], float]
"""Called with a text and the index of a character in it that is not ASCII."""


def _score(values: Iterable[bytes], terms: Sequence[str], judge: Judge) -> float:
    """Return how likely a reading is: -3 to 3, the mean over all characters but ASCII."""
    texts = [decode(one, terms) for one in values]
    marks = [
        judge(text, index)
        for text in texts
        for index, character in enumerate(text)
        if not character.isascii()
    ]
    return sum(marks) / len(marks) if marks else 0.0


def _chinese(text: str, index: int) -> float:
    """Judge a character: the everyday ones of GB 2312 level 1 speak for Chinese."""
    try:
        lead = text[index].encode("gb2312")[0]
    except UnicodeEncodeError:
        return -1.0 if text[index].isalpha() else -3.0
    if 0xB0 <= lead <= 0xD7:
        return 3.0
    return 1.0 if lead >= 0xD8 else 0.0


def _latin(text: str, index: int) -> float:
    """Judge a character: an accented letter stands beside plain ones, and fits their case."""
    character = text[index]
    if not character.isalpha():
        return -3.0
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    if before.islower() and character.isupper():
        return -2.0
    return 3.0 if any(one.isascii() and one.isalpha() for one in (before, after)) else 0.0


def _any_script(text: str, index: int) -> float:
    return max(_chinese(text, index), 1.0 if text[index].isalpha() else -3.0)
