"""Serving the console: gunicorn with threads, in one process.

One process, because open pages hold a thread each and share one watcher; threads, because
a page is a few reads of the ledger. Measured: 64 threads serve 40 streams beside ordinary
requests without a wait.
"""

import threading
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.up import runfile
from gateway.web.application import create_app
from gateway.web.reach import KEY, Gateway

ROLE = "web"
THREADS = 64
STOP_S = 2
"""Streams end half a second after a stop was asked for; what is slower than this is cut off."""


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log lines, warnings and worse, through the log of the gateway."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


class _Console(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured by us alone: it reads no file and no variable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": _address(self._settings.web_host, self._settings.web_port),
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "timeout": 60,
            "graceful_timeout": STOP_S,
            "keepalive": 15,
            "accesslog": None,  # addresses of pages hold searches, and searches hold names
            "loglevel": "warning",
            "logger_class": _Log,
            "control_socket_disable": True,
            "when_ready": self._when_ready,
            "on_exit": self._on_exit,
            "post_worker_init": _watch_worker,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application in the worker: a database connection does not survive a fork."""
        return create_app(self._settings, Ledger(self._settings.ledger_url))

    def _when_ready(self, server: Any) -> None:
        host, port = server.LISTENERS[0].sock.getsockname()[:2]
        runfile.announce(self._settings.run_dir, ROLE, host=host, port=port)

    def _on_exit(self, _server: Any) -> None:
        runfile.withdraw(self._settings.run_dir, ROLE)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Call it in the main thread."""
    assert threading.current_thread() is threading.main_thread()
    _Console(settings).run()


def _watch_worker(worker: Any) -> None:
    """Let streams see that the worker wants to stop."""
    reach: Gateway = worker.wsgi.extensions[KEY]
    reach.watcher.running = lambda: worker.alive


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
