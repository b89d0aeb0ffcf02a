"""The Flask application: put together here, with nothing global."""

from flask import Flask
from flask_security import current_user

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.status import in_words as status_in_words
from gateway.web import faults, headers, signin, words
from gateway.web.accounts import PASSWORD_LENGTH_MIN, Account, Accounts
from gateway.web.assets import asset
from gateway.web.dicomweb import service
from gateway.web.live import Watcher
from gateway.web.pages import (
    api,
    correction,
    destinations,
    health,
    manifest,
    nav,
    pictures,
    quarantine,
    sources,
    stream,
    studies,
    study,
    transfers,
)
from gateway.web.reach import KEY, Gateway
from gateway.web.secret import secret_key
from gateway.web.typed import RowConverter

PAGES = (
    api,
    correction,
    destinations,
    health,
    manifest,
    nav,
    pictures,
    quarantine,
    sources,
    stream,
    studies,
    study,
    transfers,
)
FORM_BYTES_MAX = 1 << 20
FILTERS = (
    words.person_name,
    words.dicom_date,
    words.dicom_time,
    words.sex,
    words.number,
    words.counted,
    words.size,
    words.clock,
    words.duration,
    words.utc,
)


def create_app(settings: Settings, ledger: Ledger) -> Flask:
    """Return the console over a ledger. Raises ConfigurationError: see gateway.web.secret."""
    app = Flask("gateway.web")
    app.config.update(
        SECRET_KEY=secret_key(settings),
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        TEMPLATES_AUTO_RELOAD=False,
    )
    app.url_map.converters["row"] = RowConverter
    app.extensions[KEY] = Gateway(settings, ledger, Watcher(ledger))
    accounts = Accounts(ledger)
    signin.install(app, accounts)
    faults.install(app)
    headers.install(app)
    service.install(app, settings, ledger)
    for pages in PAGES:
        app.register_blueprint(pages.blueprint)
    for function in FILTERS:
        app.add_template_filter(function)
    app.add_template_filter(status_in_words, "status_in_words")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        asset=asset,
        attention=nav.attention,
        our_ae_title=settings.ae_title,
        nobody_yet=accounts.is_empty,
        password_length_min=PASSWORD_LENGTH_MIN,
        steers=_steers,
    )
    return app


def _steers() -> bool:
    """Tell whether to show what only admins may press."""
    user = current_user._get_current_object()
    return isinstance(user, Account) and user.steers
