"""How the console answers: whole pages, their live fragments, and what came of an action."""

from collections.abc import Mapping
from typing import Any

from flask import flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from gateway.errors import ConfigurationError, GatewayError


def page(
    template: str, *, fragments: Mapping[str, str] | None = None, **context: Any
) -> ResponseReturnValue:
    """Answer with a page, or, where htmx asks for one of its parts, with that part alone.

    fragments: element id to template. The same address serves both, so that a part always
    shows what its page would.
    """
    target = request.headers.get("HX-Target", "").partition("#")[2]
    part = (fragments or {}).get(target) if wants_fragment() else None
    if part is None:
        return render_template(template, **context)
    # Without white space around it: a morph would add it to the page again and again.
    return render_template(part, **context).strip()


def wants_fragment() -> bool:
    return request.headers.get("HX-Request") == "true"


def done(message: str, location: str, *, level: str = "success") -> ResponseReturnValue:
    """Say what came of an action that was carried out: a toast on the open page, or a redirect.

    level: success, or error for a bad answer from elsewhere (an echo that was refused).
    """
    if not wants_fragment():
        flash(message, level)
        return redirect(location, 303)
    response = make_response(render_template("toast.html", level=level, message=message))
    response.headers["HX-Trigger"] = "poll"  # the page shows the change at once
    return response


def remedy_of(error: GatewayError) -> str:
    """Return what to do. A refused form is no setting of the gateway: nothing was changed."""
    if isinstance(error, ConfigurationError):
        return "Nothing was changed: correct it and try again."
    return error.remedy
