"""The roles of `up`, as a table of command lines.

The gateway starts Celery and never imports it: the workers are another package, reached by
name. Each role is an ordinary command that can be run by itself in a larger deployment.
"""

import hashlib
import os
import sys
from functools import partial
from pathlib import Path

from gateway.settings import Settings
from gateway.up import broker, runfile
from gateway.up.child import Child

BROKER, SCP, WEB, BEAT, INBOX = "broker", "scp", "web", "beat", "inbox"
WORKER_SWEEP, WORKER = "worker-sweep", "worker"

SWEEP_QUEUES = ("sweep",)
WORK_QUEUES = ("wrap", "summary", "send")
"""The sweep has a worker of its own: long work must not keep it from asking what is due."""

FIRST, THEN = 0, 1  # starting orders

# -P: a directory we happen to be started in must not shadow a library of ours.
_PYTHON = (sys.executable, "-P", "-m")
_CELERY = (*_PYTHON, "celery", "--quiet", "-A", "workers.app")


def children(settings: Settings) -> list[Child]:
    """Return the programs of `up`; the embedded broker first if no other is configured.

    Raises ConfigurationError if the broker is needed and cannot be started here.
    """
    environ = settings.as_environment()
    brokers = []
    if not settings.broker_url:
        environ["CAPSULE_BROKER_URL"] = broker.broker_url(settings.home)
        brokers = [_broker(settings.home)]
    inboxes = [Child(INBOX, (*_PYTHON, "gateway", INBOX), environ, order=THEN)]
    if not settings.inbox:
        inboxes = []
    return [
        *brokers,
        *(_listener(name, settings, environ) for name in (SCP, WEB)),
        *inboxes,
        *(
            Child(name, argv, environ, order=THEN)
            for name, argv in _celery_commands(settings).items()
        ),
    ]


def _broker(home: Path) -> Child:
    return Child(
        BROKER,
        tuple(broker.command(home)),
        order=FIRST,
        prepare=partial(broker.prepare, home),
        ready=partial(broker.is_ready, home),
    )


def _listener(name: str, settings: Settings, environ: dict[str, str]) -> Child:
    return Child(
        name,
        (*_PYTHON, "gateway", name),
        environ,
        order=THEN,
        prepare=partial(runfile.discard, settings.run_dir, name),
        ready=partial(_has_announced, settings.run_dir, name),
    )


def _has_announced(run_dir: Path, role: str) -> bool:
    return runfile.read(run_dir, role) is not None


def _celery_commands(settings: Settings) -> dict[str, tuple[str, ...]]:
    return {
        BEAT: beat_command(settings),
        WORKER_SWEEP: worker_command(settings, SWEEP_QUEUES, role=WORKER_SWEEP, count=1),
        WORKER: worker_command(settings, WORK_QUEUES, count=settings.workers),
    }


def beat_command(settings: Settings) -> tuple[str, ...]:
    """Return the command line of beat.

    Its own process id file would keep it from starting after a kill; the lock of `up` does
    that work.
    """
    schedule = str(settings.home / "beat-schedule")
    return (*_CELERY, "beat", "--schedule", schedule, "--pidfile=", "--loglevel", "WARNING")


def worker_command(
    settings: Settings, queues: tuple[str, ...], *, role: str = WORKER, count: int | None = None
) -> tuple[str, ...]:
    """Return a worker's command line. No other worker needs to know of it: no gossip, no mingle.

    The node name must differ between gateways that share a broker, hence the digest of HOME.
    """
    digest = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:8]
    processes = str(count or settings.workers)
    words = ["worker", "-Q", ",".join(queues), "-c", processes, "-n", f"{role}-{digest}@%h"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return (*_CELERY, *words, "--loglevel", "WARNING")
