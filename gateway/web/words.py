"""Pure: values as people read them. Everything here returns plain text; templates escape it."""

from dataclasses import dataclass
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class PersonName:
    """A Person Name (PS3.5 6.2.1): what to call the patient, and the same in another writing."""

    first: str
    second: str = ""


def person_name(value: str) -> PersonName:
    """Return the groups of a PN value, alphabetic first where there is one."""
    groups = [_name_group(group) for group in value.split("=")]
    written = [group for group in groups if group]
    if not written:
        return PersonName("No name")
    return PersonName(written[0], written[1] if len(written) > 1 else "")


def _name_group(group: str) -> str:
    """Return 'Family, Prefix Given Middle Suffix'; without Latin letters, as it is spoken."""
    family, given, middle, prefix, suffix = [
        part.strip() for part in (group.split("^") + [""] * 5)[:5]
    ]
    rest = " ".join(part for part in (prefix, given, middle, suffix) if part)
    if not (family and rest):
        return family or rest
    if any(character.isalpha() and ord(character) < 0x2E80 for character in group):
        return f"{family}, {rest}"
    return f"{family}{rest}"  # Chinese, Japanese and Korean names have no comma and no space


def dicom_date(value: str) -> str:
    """Return a DA value as 2026-01-05; anything else as it is."""
    if len(value) == 8 and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value


def dicom_time(value: str) -> str:
    """Return a TM value as 07:45; anything else as it is."""
    if len(value) >= 4 and value[:4].isdigit():
        return f"{value[:2]}:{value[2:4]}"
    return value


def sex(value: str) -> str:
    return {"M": "male", "F": "female", "O": "other"}.get(value.strip().upper(), value)


def number(value: int) -> str:
    """Return 49812 as 49,812."""
    return f"{value:,}"


def counted(value: int, singular: str, plural: str = "") -> str:
    """Return '1 frame' or '49,812 frames'."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def size(size_bytes: float) -> str:
    """Return bytes in decimal units: 1.2 GB."""
    for unit in _UNITS:
        if size_bytes < 999.5 or unit == _UNITS[-1]:
            break
        size_bytes /= 1000
    return (
        f"{size_bytes:.0f} {unit}"
        if unit == "B" or size_bytes >= 99.5
        else f"{size_bytes:.1f} {unit}"
    )


def clock(elapsed_ms: float) -> str:
    """Return the time since the first frame as h:mm:ss."""
    seconds = int(elapsed_ms // 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def duration(seconds: float) -> str:
    """Return the two largest units: 8 h 14 min, 3 min 20 s, 4.2 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


def utc(at: datetime) -> str:
    """Return an aware time as 2026-11-23 22:44:10, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def percent(done: int, of: int) -> int:
    """Return whole percent; 100 only when everything is done."""
    return min(99, done * 100 // of) if done < of else 100
