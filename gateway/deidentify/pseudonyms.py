"""Pure: what stands for UIDs, patients and dates in one pseudonym domain.

Everything follows from the domain's key by HMAC-SHA-256: no table is needed to say the same of
the same twice, and without the key nothing leads back.
"""

import hashlib
import hmac

KEY_BYTES = 32
CODE_LENGTH = 12
DAYS_MIN, DAYS_MAX = 30, 3650
"""Into the past: a date in the future would be noticed by receivers."""
_LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXZ"
"""Without vowels: no code is a word."""
STANDARD_ROOT = "1.2.840.10008."
"""UIDs the standard registers name a class, a syntax or a scheme, nobody's data."""


class Domain:
    """One pseudonym domain. version: of the profile, see `instance`."""

    def __init__(self, key: bytes, *, version: str = "") -> None:
        if len(key) < KEY_BYTES:
            raise ValueError("the key of a pseudonym domain is too short")
        self._key, self._version = key, version

    @property
    def version(self) -> str:
        """Tells apart what is made under another profile or key; 32 hexadecimal digits."""
        return self._digest("version", self._version).hex()[:32]

    @property
    def check(self) -> str:
        """Tells keys apart without telling the key; 16 hexadecimal digits."""
        return self._digest("check").hex()[:16]

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another one, the same wherever that is named."""
        return uid if uid.startswith(STANDARD_ROOT) else self._uid("uid", uid)

    def instance(self, uid: str) -> str:
        """Return the SOP or Series Instance UID that stands for another one.

        It changes with the profile: other contents never come under a UID somebody has already.
        """
        return uid if uid.startswith(STANDARD_ROOT) else self._uid("instance", self._version, uid)

    def patient(self, patient: str) -> str:
        """Return the pseudonym of a patient, both Patient ID and Patient's Name."""
        number = int.from_bytes(self._digest("patient", patient)[:8], "big")
        code = ""
        for _ in range(CODE_LENGTH - 2):
            number, place = divmod(number, len(_LETTERS))
            code += _LETTERS[place]
        return f"CG{code}"

    def days(self, patient: str) -> int:
        """Return by how many days a patient's dates are moved; negative."""
        number = int.from_bytes(self._digest("days", patient)[:8], "big")
        return -(DAYS_MIN + number % (DAYS_MAX - DAYS_MIN + 1))

    def _uid(self, *names: str) -> str:
        # The variant and version bits of a UUID of version 8, as PS3.5 B.2 wants a UUID.
        number = int.from_bytes(self._digest(*names)[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        return f"2.25.{number}"

    def _digest(self, *names: str) -> bytes:
        joined = "|".join(f"{len(one)}:{one}" for one in names)
        return hmac.new(self._key, joined.encode(), hashlib.sha256).digest()


def derived_key(master: bytes, domain: str) -> bytes:
    """Return the key of one domain from a key for all of them."""
    return hmac.new(master, f"domain|{domain}".encode(), hashlib.sha256).digest()


def patient_of(patient_id: str, issuer: str, study_instance_uid: str) -> str:
    """Return what a patient is known by: ID and issuer; where there is no ID, the study."""
    if patient_id:
        return f"{len(issuer)}:{issuer}|{patient_id}"
    return f"study|{study_instance_uid}"
