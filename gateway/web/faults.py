"""What a failed request answers: one sentence, what to do, and the right HTTP status."""

from flask import Flask, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    LedgerUnavailable,
    NoPixelData,
    NotConvertible,
    NotFound,
    ObjectMissing,
    QueryInvalid,
    StaleTransition,
    StorageUnavailable,
    TransitionRefused,
    Undecodable,
)
from gateway.web.answers import remedy_of, wants_fragment

_STATUS: tuple[tuple[type[GatewayError], int], ...] = (
    (NotFound, 404),
    (ObjectMissing, 404),
    (NoPixelData, 404),
    (QueryInvalid, 400),
    (NotConvertible, 406),
    (ConfigurationError, 422),
    (Undecodable, 422),
    (TransitionRefused, 409),
    (StaleTransition, 409),
    (LedgerUnavailable, 503),
    (StorageUnavailable, 503),
)
_TITLES = {
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
    422: "That cannot be",
    503: "Not available",
}
_REMEDIES = {
    403: "Ask an administrator of this gateway to do it, or to give you the role admin.",
    404: "The address may be mistyped, or what it named is gone.",
}


def install(app: Flask) -> None:
    app.register_error_handler(GatewayError, _gateway_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(500, _unforeseen)


def _gateway_error(error: GatewayError) -> ResponseReturnValue:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, StaleTransition):
        return _answer(status, f"{error} Somebody, or the gateway itself, was faster.", "")
    return _answer(status, str(error), remedy_of(error))


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if isinstance(error, CSRFError):
        return _answer(
            400, "This form does not belong to your session.", "Load the page again and repeat it."
        )
    if error.response is not None:
        return error.get_response()
    return _answer(status, error.description or error.name, _REMEDIES.get(status, ""))


def _unforeseen(error: InternalServerError) -> ResponseReturnValue:
    """Answer for an exception without a handler; Flask has logged it before it calls this."""
    return _answer(
        500,
        "This page failed: that is a mistake in the gateway.",
        "The log says where it happened.",
    )


def _answer(status: int, message: str, remedy: str) -> ResponseReturnValue:
    """Answer in the form that was asked for: JSON, a toast, or a page without the ledger."""
    if request.path.startswith(("/api/", "/dicom-web/")):
        return jsonify(error=message, remedy=remedy), status
    if wants_fragment():
        response = make_response(
            render_template("toast.html", level="error", message=message, remedy=remedy), status
        )
        if request.method == "GET":  # a part that refreshes by itself: it keeps what it shows
            response.headers["HX-Reswap"] = "none"
        else:
            response.headers["HX-Retarget"] = "#toasts"
            response.headers["HX-Reswap"] = "beforeend"
        return response
    title = _TITLES.get(status, "Something went wrong")
    text = render_template("fault.html", status=status, title=title, message=message, remedy=remedy)
    return text, status
