"""Questions about API tokens."""

from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from gateway.ledger.accounts_schema import ApiToken


def by_digest(session: Session, digest: str, *, now: datetime) -> ApiToken | None:
    """Return the token if it holds now."""
    return session.scalar(
        select(ApiToken).where(
            ApiToken.digest == digest,
            ApiToken.revoked_at.is_(None),
            or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now),
        )
    )


def every(session: Session) -> list[ApiToken]:
    return list(session.scalars(select(ApiToken).order_by(ApiToken.name)))
