"""The stream of an open page; what it carries is gateway.web.live's."""

import socket
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from gateway.web.reach import gateway

blueprint = Blueprint("stream", __name__)


@blueprint.get("/live")
def live() -> Response:
    """Answer with Server-Sent Events, or 204 when all streams are taken: the page then polls."""
    watcher = gateway().watcher
    if not watcher.admit():
        return Response(status=204)
    events = watcher.stream(_is_gone(request.environ.get("gunicorn.socket")))
    response = Response(events, mimetype="text/event-stream")
    response.call_on_close(watcher.leave)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


def _is_gone(connection: Any) -> Callable[[], bool]:
    """Return a question: has the browser closed the connection?

    Without asking, a page that was left would keep its stream until the next heartbeat, and
    somebody who clicks through the console would use up all of them.
    """

    def ask() -> bool:
        try:
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            return connection is not None and connection.recv(1, flags) == b""
        except (BlockingIOError, ValueError):  # nothing to read: it is open; or wrapped in TLS
            return False
        except OSError:
            return True

    return ask
