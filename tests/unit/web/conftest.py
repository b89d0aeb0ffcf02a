"""A console over a ledger of its own, and people to look at it."""

import re
from dataclasses import dataclass

import pytest

from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.web.accounts import Role, add_user
from gateway.web.application import create_app
from tests.browser.filling import Filling

OWN_PASSWORD = "a password of my own"


@dataclass
class Visitor:
    """A browser without scripts: it follows forms, so it sends their CSRF tokens."""

    client: object

    def get(self, address, **more):
        return self.client.get(address, **more)

    def page(self, address):
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def token(self, address="/"):
        return re.search(r'name="csrf_token" value="([^"]+)"', self.client.get(address).text)[1]

    def post(self, address, *, start="/", live=False, **fields):
        headers = {"HX-Request": "true"} if live else {}
        data = {"csrf_token": self.token(start), **fields}
        return self.client.post(address, data=data, headers=headers)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, settle_s=5)


@pytest.fixture
def ledger(settings):
    ledger = Ledger(settings.ledger_url)
    migrate.upgrade(ledger)
    yield ledger
    ledger.dispose()


@pytest.fixture
def app(settings, ledger):
    return create_app(settings, ledger)


@pytest.fixture
def filling(ledger, settings):
    return Filling(ledger, settings.home)


@pytest.fixture
def stranger(app):
    return Visitor(app.test_client())


@pytest.fixture
def admin(app, ledger):
    return signed_in(app, ledger, "anna", Role.ADMIN)


@pytest.fixture
def viewer(app, ledger):
    return signed_in(app, ledger, "victor", Role.VIEWER)


def signed_in(app, ledger, name, role):
    """Add a user, sign in with the one-time password and change it, as a person would."""
    password = add_user(ledger, name, role=role)
    visitor = Visitor(app.test_client())
    visitor.post("/sign-in", start="/sign-in", name=name, password=password)
    visitor.post(
        "/password",
        start="/password",
        password=password,
        new_password=OWN_PASSWORD,
        new_password_confirm=OWN_PASSWORD,
    )
    return visitor
