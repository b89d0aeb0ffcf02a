"""Adding people and giving them passwords, from the command line."""

import re

import pytest

from gateway.errors import ConfigurationError, NotFound
from gateway.ledger.accounts_schema import Role
from gateway.web.accounts import Accounts, add_user, list_users, set_password
from tests import ledgers

ledger = ledgers.ledger


def test_a_new_user_gets_a_one_time_password_that_can_be_read_out(ledger):
    password = add_user(ledger, "admin", role="viewer")
    assert re.fullmatch(r"[2-9a-hjkmnp-z]{4}(-[2-9a-hjkmnp-z]{4}){3}", password)
    (line,) = list_users(ledger)
    assert (line.name, line.role, line.must_change_password) == ("admin", Role.VIEWER, True)


def test_two_one_time_passwords_differ(ledger):
    assert add_user(ledger, "admin", role="viewer") != add_user(ledger, "bert", role="viewer")


def test_the_password_itself_is_not_in_the_ledger(ledger):
    password = add_user(ledger, "admin", role=Role.ADMIN)
    with ledger.engine.connect() as connection:
        (kept,) = connection.exec_driver_sql('SELECT password FROM "user"').one()
    assert kept.startswith("$argon2id$")
    assert password not in kept


def test_names_do_not_differ_in_case_only(ledger):
    add_user(ledger, "Admin", role="viewer")
    with pytest.raises(ConfigurationError, match="admin exists already"):
        add_user(ledger, "ADMIN", role="viewer")


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "ä", "a" * 65, "a\nb", "<b>"])
def test_what_is_not_a_name_is_refused(ledger, name):
    with pytest.raises(ConfigurationError, match="is not a user name"):
        add_user(ledger, name, role="viewer")


def test_an_unknown_role_is_refused(ledger):
    with pytest.raises(ConfigurationError, match="no role"):
        add_user(ledger, "admin", role="root")


def test_a_short_password_is_refused(ledger):
    with pytest.raises(ConfigurationError, match="at least 10"):
        add_user(ledger, "admin", role="viewer", password="short")


def test_a_password_for_nobody_is_an_error(ledger):
    with pytest.raises(NotFound):
        set_password(ledger, "nobody")


def test_a_new_password_ends_the_sessions_and_has_to_be_changed(ledger):
    accounts = Accounts(ledger)
    add_user(ledger, "admin", role="viewer")
    before = accounts.find_user(name="admin")
    before.must_change_password = False
    accounts.put(before)
    set_password(ledger, "Admin")
    after = accounts.find_user(name="admin")
    assert after.must_change_password
    assert after.password != before.password
    assert accounts.find_user(fs_uniquifier=before.session_key) is None


def test_the_ledger_knows_whether_anybody_may_sign_in(ledger):
    accounts = Accounts(ledger)
    assert accounts.is_empty()
    add_user(ledger, "admin", role="viewer")
    assert not accounts.is_empty()
