"""DICOMweb put together: its services, addresses and what every answer carries."""

from flask import Blueprint, Flask, Response, request

from gateway import log
from gateway.holdings.frames import FrameTables
from gateway.holdings.headers import Headers
from gateway.holdings.held import Holdings
from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.web import reach as console
from gateway.web.dicomweb import access, frames, instances, query, reach, storing

NAME = "dicomweb"
_logger = log.get(__name__)


def install(app: Flask, settings: Settings, ledger: Ledger) -> None:
    """Put DICOMweb into the application, under /dicom-web."""
    held = Holdings(settings, ledger, Headers(settings.home), console.now)
    app.extensions[reach.KEY] = reach.Services(held, FrameTables(settings.home))
    app.extensions[storing.KEY] = storing.Receiving()
    app.url_map.converters.update(uid=reach.UidConverter, tag=reach.TagConverter)
    whole = Blueprint(NAME, __name__, url_prefix=reach.ROOT)
    for one in (query, instances, frames, storing):
        whole.register_blueprint(one.blueprint)
    whole.after_request(access.allow_origin)
    whole.after_request(_told)
    app.register_blueprint(whole)
    # A form of another site cannot bring a token, and without one nothing is stored.
    app.extensions["csrf"].exempt(f"{storing.__name__}.{storing.store.__name__}")


def _told(response: Response) -> Response:
    """Log who got what: UIDs, no patient data. Frames are not told one by one."""
    if request.endpoint != f"{NAME}.frames.frames":
        _logger.info(
            "dicomweb.answered",
            endpoint=request.endpoint,
            status=response.status_code,
            path=request.path,
            address=request.remote_addr,
        )
    return response
