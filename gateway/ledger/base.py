"""What every table of the ledger shares: how a Python type is kept in a column."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, Enum
from sqlalchemy.orm import DeclarativeBase

from gateway.ledger.engine import UtcDateTime


class Base(DeclarativeBase):
    """An enum is stored by its value, as text any database and any human can read."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        StrEnum: Enum(
            StrEnum,
            native_enum=False,
            length=32,
            values_callable=lambda members: [member.value for member in members],
        ),
    }
