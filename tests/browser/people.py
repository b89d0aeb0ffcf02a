"""An admin and a viewer who have signed in before: hashing a password is slow, on purpose."""

import re

from flask import Flask
from flask.testing import FlaskClient

from gateway.settings import Settings
from gateway.web.accounts import Role, add_user
from gateway.web.application import create_app
from tests import ledgers

ADMIN, VIEWER = "admin", "viewer"
OWN_PASSWORD = "a password of my own"
SECRET_KEY = "only for these tests"
COOKIE = "capsule_session"


def prepare(settings: Settings) -> dict[str, str]:
    """Make the ledger with both of them in it; returns their session cookies by name."""
    ledger = ledgers.in_home(settings.home)
    app = create_app(settings, ledger)
    cookies = {
        name: sign_in(app, name, add_user(ledger, name, role=role))
        for name, role in ((ADMIN, Role.ADMIN), (VIEWER, Role.VIEWER))
    }
    ledger.dispose()
    return cookies


def sign_in(app: Flask, name: str, one_time_password: str) -> str:
    """Sign in and change the password, as a person would; returns the session cookie."""
    client = app.test_client()
    form = {"name": name, "password": one_time_password}
    client.post("/sign-in", data={**form, "csrf_token": token(client, "/sign-in")})
    form = {"new_password": OWN_PASSWORD, "new_password_confirm": OWN_PASSWORD}
    form |= {"password": one_time_password, "csrf_token": token(client, "/password")}
    assert client.post("/password", data=form).status_code == 302
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    return cookie.value


def token(client: FlaskClient, address: str) -> str:
    """Return the CSRF token of the first form of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(address).text)
    assert found is not None
    return found[1]
