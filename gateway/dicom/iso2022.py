"""Pure: text with code extension by escape sequences (PS3.5 6.1.2.4, 6.1.2.5; ISO/IEC 2022)."""

import re
from collections.abc import Iterable, Sequence

ESCAPE = b"\x1b"

_ONE_BYTE = {
    # Defined term -> (what designates it to G1, codec of its upper half).
    "ISO 2022 IR 100": (b"-A", "latin_1"),
    "ISO 2022 IR 101": (b"-B", "iso8859_2"),
    "ISO 2022 IR 109": (b"-C", "iso8859_3"),
    "ISO 2022 IR 110": (b"-D", "iso8859_4"),
    "ISO 2022 IR 144": (b"-L", "iso8859_5"),
    "ISO 2022 IR 127": (b"-G", "iso8859_6"),
    "ISO 2022 IR 126": (b"-F", "iso8859_7"),
    "ISO 2022 IR 138": (b"-H", "iso8859_8"),
    "ISO 2022 IR 148": (b"-M", "iso8859_9"),
    "ISO 2022 IR 203": (b"-b", "iso8859_15"),
    "ISO 2022 IR 166": (b"-T", "tis_620"),
    "ISO 2022 IR 13": (b")I", "shift_jis"),
}
_TWO_BYTE_G0 = {
    "ISO 2022 IR 87": (b"$B", "jis-0208"),
    "ISO 2022 IR 159": (b"$(D", "jis-0212"),
}
_TWO_BYTE_G1 = {
    "ISO 2022 IR 149": (b"$)C", "cp949"),
    "ISO 2022 IR 58": (b"$)A", "gb18030"),
}
TERMS = ("ISO 2022 IR 6", *_ONE_BYTE, *_TWO_BYTE_G0, *_TWO_BYTE_G1)

_G0 = {
    b"(B": "",
    b"(J": "",  # JIS X 0201 romaji: 5C shows as a yen sign there and still is the delimiter
    **dict(_TWO_BYTE_G0.values()),
    b"$@": "jis-0208",  # its edition of 1978, which some sources still name
    b"$A": "gb18030",  # Chinese and Korean in G0, as in electronic mail
    b"$(C": "cp949",
}
_G1 = {**dict(_ONE_BYTE.values()), **dict(_TWO_BYTE_G1.values())}
_DESIGNATION = re.compile(rb"\x1b([()\-]\w|\$[()]\w|\$[@AB])")
_TERM_OF = {
    sequence: term for term, (sequence, _) in (*_ONE_BYTE.items(), *_TWO_BYTE_G0.items(),
                                                *_TWO_BYTE_G1.items())
}  # fmt: skip
_TERM_OF |= {b"$@": "ISO 2022 IR 87", b"$A": "ISO 2022 IR 58", b"$(C": "ISO 2022 IR 149"}
_TERM_OF |= {b"(J": "ISO 2022 IR 13"}
_RESETTING = b"\\^=\t\n\f\r"
"""After these the initial sets are in use again (PS3.5 6.1.2.5.3)."""
_TWO_BYTES = frozenset({"jis-0208", "jis-0212", "cp949", "gb18030"})


def allows(terms: Sequence[str]) -> bool:
    """Tell whether these declared terms allow escape sequences."""
    return any(term in TERMS for term in terms)


def used(values: Iterable[bytes]) -> tuple[str, ...]:
    """Return the terms of all sets that escape sequences of these values name."""
    found = {_TERM_OF.get(one, "") for value in values for one in _DESIGNATION.findall(value)}
    return tuple(sorted(found - {""}))


def decode(raw: bytes, terms: Sequence[str]) -> str:
    """Decode a value. terms: as declared, the first in use at the beginning.

    Raises UnicodeDecodeError for what no set in use has, or an unknown escape sequence.
    """
    initial_g1 = _initial(terms)
    g0, g1 = "", initial_g1
    text: list[str] = []
    position = 0
    while position < len(raw):
        byte = raw[position]
        if byte == ESCAPE[0]:
            sequence = _sequence(raw, position)
            g0, g1 = _G0.get(sequence, g0), _G1.get(sequence, g1)
            position += 1 + len(sequence)
            continue
        codec = g1 if byte >= 0x80 else g0
        size = 2 if codec in _TWO_BYTES and byte not in (0x20, 0x7F) and byte >= 0x20 else 1
        piece = raw[position : position + size]
        text.append(_character(raw, position, piece, codec))
        if size == 1 and byte in _RESETTING:
            # Sources forget to designate again behind a delimiter: what they did last counts.
            g0, g1 = "", initial_g1 or g1
        position += size
    return "".join(text)


def _sequence(raw: bytes, position: int) -> bytes:
    match = _DESIGNATION.match(raw, position)
    if match is None or (match[1] not in _G0 and match[1] not in _G1):
        raise UnicodeDecodeError("iso2022", raw, position, position + 1, "unknown escape sequence")
    return match[1]


def _character(raw: bytes, position: int, piece: bytes, codec: str) -> str:
    if piece[0] < 0x80 and len(piece) == 1:
        return chr(piece[0])
    try:
        if codec == "jis-0208":
            return _japanese(piece)
        if codec == "jis-0212":
            return (b"\x8f" + bytes(byte | 0x80 for byte in piece)).decode("euc_jp")
        upper = bytes(byte | 0x80 for byte in piece)
        character = upper.decode(codec or "ascii")
    except UnicodeDecodeError as error:
        reason = f"not in {codec or 'ASCII'}"
        raise UnicodeDecodeError("iso2022", raw, position, position + 1, reason) from error
    if len(character) != 1:
        raise UnicodeDecodeError("iso2022", raw, position, position + 1, "half a character")
    return character


def _japanese(piece: bytes) -> str:
    try:
        return bytes(byte | 0x80 for byte in piece).decode("euc_jp")
    except UnicodeDecodeError:
        # Characters vendors added to JIS X 0208 (circled numbers, some family names).
        row, cell = piece[0] - 0x21, piece[1] - 0x21
        lead = row // 2 + (0x81 if row < 62 else 0xC1)
        trail = cell + 0x9F if row % 2 else cell + 0x40 + (cell >= 63)
        return bytes((lead, trail)).decode("cp932")


def _initial(terms: Sequence[str]) -> str:
    """Return the codec of G1 at the beginning: of the first term that has one there."""
    for term in terms:
        name = term.replace("ISO_IR", "ISO 2022 IR")
        if name in _ONE_BYTE:
            return _ONE_BYTE[name][1]
        if name in _TWO_BYTE_G1:
            return _TWO_BYTE_G1[name][1]
    return ""
