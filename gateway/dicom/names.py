"""Pure: person names in the form they are compared in: what people type finds what is stored.

PS3.4 C.2.2.2.1 leaves to the SCP how names compare. Here neither case nor width nor accents of
Latin, Greek and Cyrillic letters count, and between ideographs neither ^ nor spaces.
"""

import unicodedata

GROUPS = 3
"""Alphabetic, ideographic, phonetic (PS3.5 6.2.1.1)."""
_LETTERS_WITH_ACCENTS_END = 0x0530  # Latin, Greek, Cyrillic; a mark in other scripts is a letter
_EAST_ASIAN_START = 0x2E80


def fold(text: str) -> str:
    """Return a text without case, width and accents; runs of spaces are one space."""
    plain = unicodedata.normalize("NFC", "".join(map(_plain, unicodedata.normalize("NFKC", text))))
    return " ".join(unicodedata.normalize("NFKC", plain.casefold()).split())


def fold_group(group: str) -> str:
    """Return a component group, or a key for one, as it is compared."""
    folded = fold(group)
    if any(ord(character) >= _EAST_ASIAN_START for character in folded):
        # Some write 王^小东, some 王小东, some leave a space.
        return folded.replace("^", "").replace(" ", "")
    return "^".join(part.strip() for part in folded.split("^")).rstrip("^")


def groups(name: str) -> tuple[str, str, str]:
    """Return the three groups of a Person Name as they are compared; absent ones are empty."""
    first, second, third = (name.split("=", GROUPS) + [""] * GROUPS)[:GROUPS]
    return fold_group(first), fold_group(second), fold_group(third)


def _plain(character: str) -> str:
    base = unicodedata.normalize("NFD", character)[0]
    if ord(base) < _LETTERS_WITH_ACCENTS_END:
        return "" if unicodedata.combining(base) else base
    return character
