"""What the DICOMweb services share, and what an address names."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from flask import current_app, request
from werkzeug.routing import BaseConverter

from gateway.errors import NotFound
from gateway.holdings.frames import FrameTables
from gateway.holdings.held import Holdings
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level
from gateway.holdings.selection import Item, Selection, select

KEY = "capsule-gateway.dicomweb"
ROOT = "/dicom-web"
REMEMBERED_MAX = 1000
REMEMBERED_S = 10.0
"""A player asks for the same instance again and again. What is made anew has another UID."""


class UidConverter(BaseConverter):
    """A UID in an address (PS3.5 9.1). Anything else is a 404 without a question."""

    regex = r"[0-9]+(?:\.[0-9]+){0,63}"

    def to_python(self, value: str) -> str:
        if len(value) > 64:
            raise NotFound("There is no UID as long as this.")
        return value


class TagConverter(BaseConverter):
    regex = r"[0-9A-Fa-f]{8}"


@dataclass(frozen=True)
class Address:
    """A study, one of its series, or one of their instances."""

    study: str
    series: str = ""
    instance: str = ""

    def url(self) -> str:
        """Return its absolute address."""
        parts = [request.host_url.rstrip("/") + ROOT, "studies", self.study]
        if self.series:
            parts += ["series", self.series]
        if self.instance:
            parts += ["instances", self.instance]
        return "/".join(parts)

    def identifier(self) -> Identifier:
        level = Level.IMAGE if self.instance else Level.SERIES if self.series else Level.STUDY
        values = {
            "StudyInstanceUID": self.study,
            "SeriesInstanceUID": self.series,
            "SOPInstanceUID": self.instance,
        }
        return Identifier(level, {name: uid for name, uid in values.items() if uid})


@dataclass
class Services:
    """One for all requests of a process."""

    held: Holdings
    tables: FrameTables
    _known: OrderedDict[Address, tuple[float, Item]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def selection(self, address: Address) -> Selection:
        """Return what an address names. Raises NotFound, LedgerError, IntegrityError."""
        found = select(self.held, address.identifier())
        if not len(found):
            raise NotFound("There is nothing here under this address.")
        return found

    def item(self, address: Address) -> Item:
        """Return the instance an address names; raises as `selection` does."""
        now_s = time.monotonic()
        with self._lock:
            until_s, known = self._known.get(address, (0.0, None))
        if known is not None and now_s < until_s:
            return known
        item = next(iter(self.selection(address)))
        with self._lock:
            self._known[address] = (now_s + REMEMBERED_S, item)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return item


def services() -> Services:
    found: Services = current_app.extensions[KEY]
    return found
