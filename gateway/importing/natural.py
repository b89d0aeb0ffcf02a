"""Pure: the order in which a person would put file names: frame2 before frame10."""

import re

_NUMBER = re.compile(r"(\d+)")


def key(name: str) -> tuple[object, ...]:
    """Return a sort key. Folders first by name, numbers by value, letters without case.

    The name itself comes last: two names that differ have keys that differ.
    """
    folders = name.split("/")
    return (*(_parts(folder) for folder in folders), name)


def _parts(text: str) -> tuple[tuple[int, int, str], ...]:
    # ASCII digits by value; int() of other scripts' digits works too, of superscripts it fails.
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part.casefold())
        for part in _NUMBER.split(text)
        if part
    )
