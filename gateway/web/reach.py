"""What the application's parts share, and how a request reaches it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.up import runfile
from gateway.web.live import Watcher

KEY = "capsule-gateway"


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    ledger: Ledger
    watcher: Watcher

    def dicom_port(self) -> int:
        """Return the port that sources reach: the configured one, or where port 0 ended up."""
        if self.settings.dicom_port:
            return self.settings.dicom_port
        announced = runfile.read(self.settings.run_dir, "scp")
        return announced.port if announced else 0


def gateway() -> Gateway:
    """Return the gateway that this request is about."""
    found: Gateway = current_app.extensions[KEY]
    return found


def now() -> datetime:
    return datetime.now(UTC)
