"""A console over a ledger of its own, and people to look at it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.web.application import create_app
from tests.browser.filling import Filling
from tests.browser.people import ADMIN, COOKIE, SECRET_KEY, VIEWER, prepare, token


@dataclass
class Visitor:
    """A browser without scripts: it fills forms, so it sends their CSRF tokens."""

    client: FlaskClient

    def get(self, address, **more):
        return self.client.get(address, **more)

    def page(self, address):
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def token(self, address="/"):
        return token(self.client, address)

    def post(self, address, *, start="/", live=False, **fields):
        headers = {"HX-Request": "true"} if live else {}
        data = {"csrf_token": self.token(start), **fields}
        return self.client.post(address, data=data, headers=headers)


@dataclass(frozen=True)
class Template:
    """A ledger with an admin and a viewer, of which each test gets a copy."""

    path: Path
    cookies: dict[str, str]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    home = tmp_path_factory.mktemp("template")
    cookies = prepare(Settings(home=home, secret_key=SECRET_KEY))
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
    return known(app, template.cookies[ADMIN])


@pytest.fixture
def viewer(app, template):
    return known(app, template.cookies[VIEWER])


def known(app, cookie):
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    return Visitor(client)
