"""Correcting whose study it is; merging one patient's studies into another's."""

from typing import Any

from flask import Blueprint, make_response, render_template, url_for
from flask.typing import ResponseReturnValue

from gateway import correcting
from gateway.correcting import Warrant
from gateway.dicom.correction import CORRECTABLE
from gateway.errors import ConfigurationError, NotFound
from gateway.ledger.queries import corrections as queries
from gateway.ledger.queries import studies
from gateway.ledger.schema import Study
from gateway.web import typed
from gateway.web.answers import done, page
from gateway.web.reach import gateway, now
from gateway.web.signin import actor

blueprint = Blueprint("correction", __name__, url_prefix="/studies")

REASON_LENGTH = 400
_LENGTHS = {"PatientName": 194}


@blueprint.get("/<row:study_id>/identity")
def show(study_id: int) -> ResponseReturnValue:
    study = _study(study_id)
    return page("correction.html", **_content(study, _said(study)))


@blueprint.post("/<row:study_id>/identity")
def correct(study_id: int) -> ResponseReturnValue:
    """Take what differs from what holds; a field that was left as it is changes nothing."""
    study = _study(study_id)
    said = _said(study)
    form = {keyword: typed.text(keyword, _LENGTHS.get(keyword, 64)) for keyword in CORRECTABLE}
    wanted = {keyword: form[keyword] for keyword in CORRECTABLE if form[keyword] != said[keyword]}
    try:
        correcting.correct_study(*_reach(), study_id, wanted, _warrant())
    except ConfigurationError as error:
        return _again(study, form, str(error))
    message = "Corrected. The study is made and sent again under its new identity."
    return done(message, url_for("study.show", study_id=study_id))


@blueprint.post("/<row:study_id>/merge")
def merge(study_id: int) -> ResponseReturnValue:
    study = _study(study_id)
    into = typed.text("into", 64)
    try:
        count = correcting.merge_patient(*_reach(), study.patient_id, into, _warrant())
    except (ConfigurationError, NotFound) as error:
        return _again(study, {**_said(study), "into": into}, str(error))
    message = f"{count} studies given over; they are made and sent again."
    return done(message, url_for("study.show", study_id=study_id))


def _study(study_id: int) -> Study:
    with gateway().ledger.reading() as session:
        return studies.get(session, study_id)


def _reach() -> tuple[Any, str]:
    reach = gateway()
    return reach.ledger, reach.settings.tenant


def _warrant() -> Warrant:
    return Warrant(actor(), typed.text("reason", REASON_LENGTH), now())


def _said(study: Study) -> dict[str, str]:
    return {
        "PatientName": study.patient_name,
        "PatientID": study.patient_id,
        "PatientBirthDate": study.patient_birth_date,
        "PatientSex": study.patient_sex,
        "AccessionNumber": study.accession_number,
    }


def _content(study: Study, form: dict[str, str]) -> dict[str, Any]:
    with gateway().ledger.reading() as session:
        count = queries.count_of_patient(session, study.patient_id)
    return {"study": study, "typed": form, "study_count": count}


def _again(study: Study, form: dict[str, str], fault: str) -> ResponseReturnValue:
    form["reason"] = typed.text("reason", REASON_LENGTH)
    text = render_template("correction.html", fault=fault, **_content(study, form))
    return make_response(text, 422)
