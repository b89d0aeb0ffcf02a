"""A console over a ledger of its own, and people to look at it."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.web.accounts import Role, add_user
from gateway.web.application import create_app
from tests.browser.filling import Filling

OWN_PASSWORD = "a password of my own"
SECRET_KEY = "only for these tests"
COOKIE = "capsule_session"


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


@dataclass(frozen=True)
class Template:
    """A ledger with an admin and a viewer, and their session cookies by name.

    Hashing a password takes a third of a second, on purpose; so it is done once, and each
    test gets a copy.
    """

    path: Path
    cookies: dict[str, str]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    home = tmp_path_factory.mktemp("template")
    settings = Settings(home=home, secret_key=SECRET_KEY)
    ledger = Ledger(settings.ledger_url)
    migrate.upgrade(ledger)
    app = create_app(settings, ledger)
    visitors = {
        "anna": signed_in(app, ledger, "anna", Role.ADMIN),
        "victor": signed_in(app, ledger, "victor", Role.VIEWER),
    }
    cookies = {name: one.client.get_cookie(COOKIE).value for name, one in visitors.items()}
    ledger.dispose()
    return Template(home / "ledger.sqlite", cookies)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, secret_key=SECRET_KEY, settle_s=5)


@pytest.fixture
def ledger(settings, template):
    shutil.copy(template.path, settings.home)
    ledger = Ledger(settings.ledger_url)
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
def admin(app, template):
    return known(app, template.cookies["anna"])


@pytest.fixture
def viewer(app, template):
    return known(app, template.cookies["victor"])


def known(app, cookie):
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    return Visitor(client)


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
