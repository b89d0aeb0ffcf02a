"""Headers of every answer: what the browser may load, keep and tell."""

from flask import Flask, Response, request

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",  # scripts, styles, fonts, pictures and streams of our own only
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
STATIC_CACHE = "public, max-age=3600"
VERSIONED_CACHE = "public, max-age=31536000, immutable"


def install(app: Flask) -> None:
    app.after_request(_add)


def _add(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    if request.endpoint == "static":
        headers["Cache-Control"] = VERSIONED_CACHE if "v" in request.args else STATIC_CACHE
    elif "immutable" not in headers.get("Cache-Control", ""):
        # Patient data: neither a proxy nor the disk of a shared workstation keeps it.
        headers["Cache-Control"] = "private, no-store"
    return response
