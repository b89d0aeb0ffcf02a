"""Writes about API tokens. A secret is shown once, when it is made; its digest is kept."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.errors import ConfigurationError, NotFound
from gateway.ledger import events
from gateway.ledger.accounts_schema import ApiToken, Scope

PREFIX = "cg_"
"""So that scanners for leaked secrets can tell one."""
SECRET_BYTES = 32
"""256 random bits: nobody guesses that, so a fast digest of it is enough."""
USED_GRAIN = timedelta(minutes=1)
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_AE_TITLE = re.compile(r"[A-Z0-9][A-Z0-9_.-]{0,15}")


def add(
    session: Session,
    name: str,
    *,
    scopes: Sequence[str],
    ae_title: str,
    expires_at: datetime | None,
    now: datetime,
    actor: str,
) -> str:
    """Add a token and return its secret. Raises ConfigurationError."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name: 1 to 64 of a to z, digits and . _ @ -")
    if not _AE_TITLE.fullmatch(ae_title):
        raise ConfigurationError(f"{ae_title!r} is no AE title in capitals of up to 16 characters.")
    if not scopes or any(one not in tuple(Scope) for one in scopes):
        raise ConfigurationError(f"A token has scopes, of {', '.join(Scope)}.")
    if session.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
        raise ConfigurationError(f"There is, or was, a token {name} already.")
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = ApiToken(
        name=name,
        digest=digest(secret),
        scopes=" ".join(sorted(set(scopes))),
        ae_title=ae_title,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    detail = f"{name}: {row.scopes}"
    events.append(session, "token", row.id, "added", now=now, actor=actor, detail=detail)
    return secret


def revoke(session: Session, name: str, *, now: datetime, actor: str) -> None:
    """End a token; it is refused from the next request on. Raises NotFound."""
    row = session.scalar(select(ApiToken).where(ApiToken.name == name))
    if row is None:
        raise NotFound(f"There is no token {name}.")
    if row.revoked_at is None:
        row.revoked_at = now
        events.append(session, "token", row.id, "revoked", now=now, actor=actor, detail=name)


def used(session: Session, token_id: int, *, now: datetime) -> None:
    """Note when a token was used last, to the minute: not every request writes."""
    row = session.get(ApiToken, token_id)
    if row is not None and is_due(row, now):
        row.last_used_at = now


def is_due(token: ApiToken, now: datetime) -> bool:
    """Tell whether another use is worth noting."""
    return token.last_used_at is None or now - token.last_used_at >= USED_GRAIN


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
