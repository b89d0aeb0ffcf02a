"""Who may use DICOMweb: a program with a token, or somebody who is signed in and only reads."""

from flask import Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_security import current_user

from gateway import log
from gateway.ledger.accounts_schema import Scope
from gateway.ledger.queries import tokens as queries
from gateway.ledger.transitions import tokens
from gateway.web.accounts import Account
from gateway.web.reach import gateway, now

SESSION_AE_TITLE = "CONSOLE"
_SCHEME = "bearer "
_logger = log.get(__name__)


def admit() -> ResponseReturnValue | None:
    """Return the refusal of a request, or None. A preflight request of CORS carries no token."""
    if request.method == "OPTIONS":
        return None
    scope = Scope.STORE if request.method == "POST" else Scope.READ
    authorization = request.headers.get("Authorization", "")
    if authorization[: len(_SCHEME)].lower() == _SCHEME:
        return _by_token(authorization[len(_SCHEME) :].strip(), scope)
    user = current_user._get_current_object()
    if not isinstance(user, Account) or user.must_change_password:
        return _refusal(401, "Show a token (Authorization: Bearer ...), or sign in.")
    if scope is not Scope.READ:
        return _refusal(403, "Storing needs a token with the scope store.")
    g.dicomweb_caller = SESSION_AE_TITLE
    return None


def caller() -> str:
    """Return the AE title that stands for the client. Only behind `admit`."""
    return str(g.dicomweb_caller)


def allow_origin(response: Response) -> Response:
    """Let pages of the configured origins read the answer (CORS); nobody else's."""
    origins = gateway().settings.dicomweb_origins.split()
    origin = request.headers.get("Origin", "")
    if not origins:
        return response
    response.vary.add("Origin")
    if origin in origins:
        headers = response.headers
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Headers"] = "Accept, Authorization, Content-Type"
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        headers["Access-Control-Expose-Headers"] = "Warning, Content-Location"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _by_token(secret: str, scope: Scope) -> ResponseReturnValue | None:
    ledger, moment = gateway().ledger, now()
    with ledger.reading() as session:
        token = queries.by_digest(session, tokens.digest(secret), now=moment)
    if token is None:
        _logger.warning("dicomweb.refused", address=request.remote_addr)
        return _refusal(401, "This token does not hold, or holds no longer.")
    if scope not in token.scopes.split():
        return _refusal(403, f"This token has not the scope {scope}.")
    if tokens.is_due(token, moment):
        with ledger.transaction() as session:
            tokens.used(session, token.id, now=moment)
    g.dicomweb_caller = token.ae_title
    return None


def _refusal(status: int, words: str) -> ResponseReturnValue:
    response = jsonify(error=words)
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="DICOMweb"'
    return response
