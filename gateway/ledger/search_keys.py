"""What of a study is kept in the form queries search by, beside the values themselves."""

from collections.abc import Mapping
from typing import Any

from gateway.dicom import names

SEARCHED = ("patient_name", "attributes")
"""Columns of a study the keys follow from: whoever changes one of them changes the keys."""
_STUDY_ID = "00200010"


def of_study(patient_name: str, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the search columns of a study."""
    alphabetic, ideographic, phonetic = names.groups(patient_name)
    values = (attributes.get(_STUDY_ID) or {}).get("Value") or [""]
    return {
        "name_alphabetic": alphabetic[:128],
        "name_ideographic": ideographic[:128],
        "name_phonetic": phonetic[:128],
        "study_identifier": str(values[0])[:16],
    }
