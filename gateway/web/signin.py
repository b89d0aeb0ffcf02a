"""Signing in and out, changing the password, and who may do what.

Everything is closed unless it is listed here as open; everything that changes something is
for admins unless it is listed here as open to viewers.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_security import LoginForm, Security, current_user, password_changed, user_authenticated
from flask_wtf import CSRFProtect
from werkzeug.exceptions import Forbidden, Unauthorized
from wtforms import HiddenField, StringField
from wtforms.validators import InputRequired, Optional

from gateway.web.accounts import PASSWORD_LENGTH_MIN, Account, Accounts
from gateway.web.answers import wants_fragment
from gateway.web.dicomweb import access
from gateway.web.throttle import Throttle

OPEN_TO_ALL = frozenset({"static", "health.healthz", "health.readyz", "security.login"})
OPEN_TO_VIEWERS = frozenset({"security.logout", "security.change_password", "studies.index"})
"""What is posted and changes nothing for others: a search of the studies is posted, too."""
BEFORE_PASSWORD_CHANGE = OPEN_TO_ALL | {"security.logout", "security.change_password"}
SESSION_LIFETIME = timedelta(hours=12)
"""A shift. A page that is open and live keeps its session alive."""

REFUSED = "The name or the password is wrong, or there were too many attempts: wait a minute."
"""One answer for everything that can go wrong, so that it tells a stranger nothing."""

_SECURITY = {
    "SECURITY_LOGIN_URL": "/sign-in",
    "SECURITY_LOGOUT_URL": "/sign-out",
    "SECURITY_CHANGE_URL": "/password",
    "SECURITY_LOGIN_USER_TEMPLATE": "sign_in.html",
    "SECURITY_CHANGE_PASSWORD_TEMPLATE": "password.html",
    "SECURITY_POST_LOGOUT_VIEW": "/sign-in",
    "SECURITY_CHANGEABLE": True,
    "SECURITY_TRACKABLE": True,
    "SECURITY_SEND_PASSWORD_CHANGE_EMAIL": False,
    "SECURITY_RETURN_GENERIC_RESPONSES": True,
    "SECURITY_PASSWORD_HASH": "argon2",
    "SECURITY_PASSWORD_SCHEMES": ["argon2"],
    "SECURITY_DEPRECATED_PASSWORD_SCHEMES": [],
    # Argon2 salts by itself; without this Flask-Security would put an HMAC around it, and
    # the command line could not make passwords.
    "SECURITY_PASSWORD_SINGLE_HASH": ["argon2"],
    "SECURITY_PASSWORD_LENGTH_MIN": PASSWORD_LENGTH_MIN,
    "SECURITY_USER_IDENTITY_ATTRIBUTES": [
        {"name": {"mapper": lambda name: name, "case_insensitive": True}}
    ],
    "SECURITY_API_ENABLED_METHODS": ["session"],
    "SECURITY_DATETIME_FACTORY": lambda: datetime.now(UTC),
    "SECURITY_MSG_GENERIC_AUTHN_FAILED": (REFUSED, "error"),
    "SECURITY_MSG_PASSWORD_CHANGE": ("Your password is changed.", "success"),
}


def install(app: Flask, accounts: Accounts) -> None:
    """Put sign-in, CSRF protection and the gate into the application."""
    app.config.update(_SECURITY)
    app.config.update(
        SESSION_COOKIE_NAME="capsule_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=SESSION_LIFETIME,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: pages stay open all day
    )
    throttle = Throttle()
    CSRFProtect(app)
    security = Security(app, accounts, login_form=_form(accounts, throttle))
    # A stranger is sent to the form without the library's own message.
    security.login_manager.session_protection = "basic"
    app.before_request(_gate)
    _listen(app, accounts)


def account() -> Account:
    """Return the signed-in user. Only behind the gate."""
    found = current_user._get_current_object()
    assert isinstance(found, Account)
    return found


def actor() -> str:
    """Return the name that events carry."""
    return account().name


def _gate() -> ResponseReturnValue | None:
    endpoint = request.endpoint or ""
    if endpoint in OPEN_TO_ALL:
        return None
    if request.path.startswith("/dicom-web/"):
        return access.admit()
    if not current_user.is_authenticated:
        return _to_sign_in()
    if account().must_change_password and endpoint not in BEFORE_PASSWORD_CHANGE:
        return _lead_to(url_for("security.change_password"))
    reading = request.method in ("GET", "HEAD", "OPTIONS")
    if not reading and endpoint not in OPEN_TO_VIEWERS and not account().steers:
        raise Forbidden("Your role is viewer: you may look at everything and change nothing.")
    return None


def _to_sign_in() -> ResponseReturnValue:
    """Answer a stranger: a page leads to the form, the API says 401."""
    if request.path.startswith("/api/"):
        raise Unauthorized("Sign in first.")
    part = wants_fragment() or request.method != "GET"
    here = "/" if part else request.full_path.rstrip("?")
    return _lead_to(url_for("security.login", next=here if here != "/" else None))


def _lead_to(address: str) -> ResponseReturnValue:
    """Redirect; a part of a page that refreshes by itself takes the whole page along."""
    if wants_fragment():
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address)


def _form(accounts: Accounts, throttle: Throttle) -> type[LoginForm]:
    """Return the sign-in form: plain names, one answer to every failure, and the throttle."""

    class SignInForm(LoginForm):
        name = StringField("Name", validators=[InputRequired("Name")])
        email = HiddenField(validators=[Optional()])  # Flask-Security expects it; never rendered
        remember = None

        def validate(self, **kwargs: Any) -> bool:
            name, address = (self.name.data or "").strip().lower(), request.remote_addr or ""
            if throttle.wait_s(name, address, now_s=time.monotonic()) > 0:
                self.form_errors.append(REFUSED)
                return False
            self.ifield, self.user = self.name, accounts.find_user(name=name)
            valid = bool(super().validate(**kwargs))
            if valid:
                throttle.succeeded(name, address)
            else:
                self.form_errors[:] = [REFUSED]
                throttle.failed(name, address, now_s=time.monotonic())
                if isinstance(self.user, Account):
                    accounts.record("sign-in-failed", self.user, f"from {address}")
            return valid

    return SignInForm


def _listen(app: Flask, accounts: Accounts) -> None:
    def signed_in(_app: Flask, user: Account, authn_via: list[str], **_: Any) -> None:
        session.permanent = True
        if authn_via == ["password"]:  # not the renewed session after a change of password
            accounts.record("signed-in", user, f"from {request.remote_addr}")

    def changed(_app: Flask, user: Account, **_: Any) -> None:
        user.must_change_password = False
        accounts.put(user)
        accounts.record("password-changed", user)

    # weak=False: nothing else holds these functions.
    user_authenticated.connect(signed_in, app, weak=False)
    password_changed.connect(changed, app, weak=False)
