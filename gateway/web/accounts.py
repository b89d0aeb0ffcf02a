"""The people of the console: adding them, their passwords, and how Flask-Security finds them.

Passwords are kept as Argon2 hashes only. A one-time password is shown once, when it is made,
and has to be changed at the first sign-in.
"""

import re
import secrets
import unicodedata
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from argon2 import PasswordHasher
from flask_security import RoleMixin, UserDatastore, UserMixin
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.errors import ConfigurationError, NotFound
from gateway.ledger import events
from gateway.ledger.accounts_schema import Role, User
from gateway.ledger.engine import Ledger

PASSWORD_LENGTH_MIN = 10
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_ONE_TIME_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that is misread on paper
_ONE_TIME_GROUPS, _ONE_TIME_GROUP_LENGTH = 4, 4  # 31^16: 79 bits


@dataclass(frozen=True)
class UserLine:
    """A user as others may see one."""

    name: str
    role: Role
    active: bool
    must_change_password: bool
    created_at: datetime
    last_seen_at: datetime | None


def add_user(
    ledger: Ledger, name: str, *, role: Role | str, password: str | None = None, actor: str = "cli"
) -> str:
    """Add a user and return the password to sign in with first.

    password: None makes a one-time password. Either has to be changed at the first sign-in,
    because somebody else knows it. Raises ConfigurationError for a name that is taken or not a
    name, an unknown role, or a password that is too short.
    """
    normal = _normal_name(name)
    if role not in tuple(Role):
        raise ConfigurationError(f"There is no role {role!r}: admin or viewer.")
    given = password or _one_time_password()
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        if _by_name(session, normal) is not None:
            raise ConfigurationError(f"The user {normal} exists already.")
        row = User(
            name=normal,
            role=Role(role),
            password=_hash(given),
            must_change_password=True,
            session_key=secrets.token_hex(32),
            created_at=now,
        )
        session.add(row)
        session.flush()
        events.append(
            session, "user", row.id, "added", now=now, actor=actor, detail=f"{normal}, {role}"
        )
    return given


def set_password(
    ledger: Ledger, name: str, password: str | None = None, *, actor: str = "cli"
) -> str:
    """Give a user another password to sign in with, and end all sessions of that user.

    The same promises as add_user. Raises NotFound if there is no such user.
    """
    given = password or _one_time_password()
    hashed = _hash(given)
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        row = _by_name(session, _normal_name(name))
        if row is None:
            raise NotFound(f"There is no user {name}.")
        row.password, row.must_change_password = hashed, True
        row.session_key = secrets.token_hex(32)
        events.append(session, "user", row.id, "password-set", now=now, actor=actor)
    return given


def list_users(ledger: Ledger) -> list[UserLine]:
    with ledger.reading() as session:
        return [
            UserLine(
                name=row.name,
                role=row.role,
                active=row.active,
                must_change_password=row.must_change_password,
                created_at=row.created_at,
                last_seen_at=row.current_login_at,
            )
            for row in session.scalars(select(User).order_by(User.name))
        ]


class ConsoleRole(RoleMixin):
    """A role as Flask-Security wants to see one; it is a column of the user, not a table."""

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass(eq=False)
class Account(UserMixin):
    """A signed-in user: a copy of the row, so that no database session stays open in a request."""

    id: int = 0
    name: str = ""
    role: Role = Role.VIEWER
    password: str = ""
    must_change_password: bool = False
    active: bool = True
    session_key: str = ""
    last_login_at: datetime | None = None  # type: ignore[assignment]
    current_login_at: datetime | None = None  # type: ignore[assignment]
    last_login_ip: str | None = None
    current_login_ip: str | None = None
    login_count: int = 0

    @property
    def fs_uniquifier(self) -> str:
        """Flask-Security's name for the session key."""
        return self.session_key

    @fs_uniquifier.setter
    def fs_uniquifier(self, value: str) -> None:
        self.session_key = value

    @property
    def roles(self) -> list[ConsoleRole]:  # type: ignore[override]
        return [ConsoleRole(self.role)]

    @property
    def steers(self) -> bool:
        """Whether this user may change anything."""
        return self.role is Role.ADMIN


class Accounts(UserDatastore):
    """Flask-Security's way to the user table: every call is a short transaction of its own."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(Account, ConsoleRole)
        self._ledger = ledger

    def find_user(self, case_insensitive: bool = False, **kwargs: Any) -> Account | None:
        """Return the user with this name, or with this session key (their fs_uniquifier)."""
        (attribute, value), *_ = kwargs.items()
        column = {"fs_uniquifier": User.session_key, "name": User.name}[attribute]
        if not isinstance(value, str):
            return None
        wanted = value.strip().lower() if column is User.name else value
        with self._ledger.reading() as session:
            row = session.scalar(select(User).where(column == wanted))
            return None if row is None else _account(row)

    def find_role(self, role: str) -> ConsoleRole | None:
        return ConsoleRole(role) if role in tuple(Role) else None

    def put(self, model: Account) -> Account:
        """Write an account back to its row."""
        with self._ledger.transaction() as session:
            row = session.get(User, model.id)
            if row is None:
                raise NotFound(f"There is no user {model.name}.")
            for name, value in asdict(model).items():
                setattr(row, name, value)
        return model

    def commit(self) -> None:
        """Do nothing: put has written already."""

    def is_empty(self) -> bool:
        with self._ledger.reading() as session:
            return session.scalar(select(User.id).limit(1)) is None

    def record(self, kind: str, account: Account, detail: str = "") -> None:
        """Write an event about a user."""
        with self._ledger.transaction() as session:
            events.append(
                session,
                "user",
                account.id,
                kind,
                now=datetime.now(UTC),
                actor=account.name,
                detail=detail,
            )


def _account(row: User) -> Account:
    return Account(**{field.name: getattr(row, field.name) for field in fields(Account)})


def _by_name(session: Session, name: str) -> User | None:
    return session.scalar(select(User).where(User.name == name))


def _normal_name(name: str) -> str:
    normal = name.strip().lower()
    if not _NAME.fullmatch(normal):
        raise ConfigurationError(
            f"{name!r} is not a user name: 1 to 64 of the letters a to z, digits and . _ @ -"
        )
    return normal


def _hash(password: str) -> str:
    if len(password) < PASSWORD_LENGTH_MIN:
        raise ConfigurationError(f"A password has at least {PASSWORD_LENGTH_MIN} characters.")
    # NFKD as Flask-Security does before it compares: keyboards compose letters differently.
    return PasswordHasher().hash(unicodedata.normalize("NFKD", password))


def _one_time_password() -> str:
    groups = (
        "".join(secrets.choice(_ONE_TIME_ALPHABET) for _ in range(_ONE_TIME_GROUP_LENGTH))
        for _ in range(_ONE_TIME_GROUPS)
    )
    return "-".join(groups)
