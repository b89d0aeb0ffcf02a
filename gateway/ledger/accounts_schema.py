"""The table of the people who use the console. What they may do with it is gateway.web's."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ledger.base import Base


class Role(StrEnum):
    ADMIN = "admin"  # sees and steers
    VIEWER = "viewer"  # sees


class User(Base):
    """Somebody who may sign in. Names are lower case, so that no two differ in case only."""

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[Role]
    password: Mapped[str] = mapped_column(String(255))  # Argon2 hash, PHC string format
    must_change_password: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    session_key: Mapped[str] = mapped_column(String(64), unique=True)  # a new one ends sessions
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]  # the sign-in before the current one
    current_login_at: Mapped[datetime | None]
    last_login_ip: Mapped[str | None] = mapped_column(String(64))
    current_login_ip: Mapped[str | None] = mapped_column(String(64))
    login_count: Mapped[int] = mapped_column(default=0)


class Scope(StrEnum):
    READ = "read"  # query and retrieve over DICOMweb
    STORE = "store"  # store over DICOMweb


class ApiToken(Base):
    """What a program shows instead of signing in. Only the digest of its secret is kept."""

    __tablename__ = "api_token"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256, hexadecimal
    scopes: Mapped[str] = mapped_column(String(64))  # of Scope, with a space between
    # What it stores counts as received from this AE title: routes go by it.
    ae_title: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute
