"""Pure: whose recording it is and what it was ordered as: from options, a file, or a worklist."""

import json
import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydicom import Dataset

from gateway.dicom import uids
from gateway.errors import OrderIncomplete

FILE_BYTES_MAX = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d(\.\d{1,6})?)?")
_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")

Identifier = Annotated[str, Field(max_length=64)]
Short = Annotated[str, Field(max_length=16)]


class Order(BaseModel):
    """DICOM's words in small letters. Dates as 20260131 or 2026-01-31; empty: not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient_id: Identifier = ""
    patient_name: Annotated[str, Field(max_length=194)] = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: Short = ""
    study_instance_uid: str = ""
    study_id: Short = ""
    study_date: str = ""
    study_time: str = ""
    study_description: Identifier = ""
    series_description: Identifier = ""
    referring_physician_name: Annotated[str, Field(max_length=194)] = ""
    timezone_offset_from_utc: str = ""
    institution_name: Identifier = ""
    manufacturer: Identifier = ""
    manufacturer_model_name: Identifier = ""
    device_serial_number: Identifier = ""
    requested_procedure_id: Short = ""
    requested_procedure_description: Identifier = ""
    scheduled_procedure_step_id: Short = ""
    scheduled_procedure_step_description: Identifier = ""
    fps: Annotated[float, Field(ge=0, le=1000)] = 0

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.strip()
            if _CONTROL.search(value):
                raise ValueError("no backslash and no control character is allowed")
        return value

    @field_validator("patient_birth_date", "study_date")
    @classmethod
    def _date(cls, value: str) -> str:
        if not value:
            return ""
        try:
            return date.fromisoformat(value).strftime("%Y%m%d")
        except ValueError as error:
            raise ValueError("a date is written 20260131 or 2026-01-31") from error

    @field_validator("study_time")
    @classmethod
    def _time(cls, value: str) -> str:
        plain = value.replace(":", "")
        if plain and not _TIME.fullmatch(plain):
            raise ValueError("a time is written 083000 or 08:30:00")
        return plain

    @field_validator("patient_sex")
    @classmethod
    def _sex(cls, value: str) -> str:
        letter = value[:1].upper()
        if value and letter not in "MFO":
            raise ValueError("the sex is M, F or O")
        return letter

    @field_validator("study_instance_uid")
    @classmethod
    def _uid(cls, value: str) -> str:
        if value and not uids.is_valid(value):
            raise ValueError("this is not a UID")
        return value

    @field_validator("timezone_offset_from_utc")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value and not _ZONE.fullmatch(value):
            raise ValueError("a zone is written +0800")
        return value

    @property
    def known(self) -> dict[str, Any]:
        """What is known, by name."""
        return {name: value for name, value in self.model_dump().items() if value}


def checked(values: dict[str, Any]) -> Order:
    """Make an order. Raises OrderIncomplete, naming the value but not repeating it."""
    try:
        return Order.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the order"
        raise OrderIncomplete(f"{name}: {first['msg'].removeprefix('Value error, ')}.") from error


def from_json(data: bytes) -> Order:
    """Read a sidecar file: one JSON object with the names of Order. Raises OrderIncomplete."""
    if len(data) > FILE_BYTES_MAX:
        raise OrderIncomplete("The order file is absurdly long.")
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise OrderIncomplete("The order file is not JSON in UTF-8.") from error
    if not isinstance(values, dict):
        raise OrderIncomplete("The order file is not one JSON object.")
    return checked(values)


def from_worklist(item: Dataset) -> Order:
    """Read a Modality Worklist item (PS3.4 Table K.6-1). Raises OrderIncomplete."""
    steps = item.get("ScheduledProcedureStepSequence") or [Dataset()]
    values = {name: _text(item, keyword) for name, keyword in _WORKLIST.items()}
    values |= {name: _text(steps[0], keyword) for name, keyword in _WORKLIST_STEP.items()}
    values["study_description"] = values["requested_procedure_description"]
    # A worklist's own slips must not stop an import; what identifies must be right.
    if values["patient_sex"] not in ("M", "F", "O"):
        values["patient_sex"] = ""
    return checked(values)


_WORKLIST = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
    "referring_physician_name": "ReferringPhysicianName",
    "requested_procedure_id": "RequestedProcedureID",
    "requested_procedure_description": "RequestedProcedureDescription",
}
_WORKLIST_STEP = {
    "study_date": "ScheduledProcedureStepStartDate",
    "study_time": "ScheduledProcedureStepStartTime",
    "scheduled_procedure_step_id": "ScheduledProcedureStepID",
    "scheduled_procedure_step_description": "ScheduledProcedureStepDescription",
}


def merged(stated: Order, listed: Order | None) -> Order:
    """Put what was stated over what the worklist says.

    Raises OrderIncomplete if they name different patients: one of the two is a mix-up.
    """
    if listed is None:
        return stated
    for name in ("patient_id", "patient_birth_date", "study_instance_uid"):
        said, found = getattr(stated, name), getattr(listed, name)
        if said and found and said != found:
            raise OrderIncomplete(f"The worklist has another {name} for this accession number.")
    return over(stated, listed)


def over(stronger: Order, weaker: Order) -> Order:
    """Put what one says over what the other says."""
    return Order(**{**weaker.known, **stronger.known})


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value).strip()
