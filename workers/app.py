"""The Celery application: every setting with its reason. Messages are hints, the ledger is true."""

from celery import Celery
from celery.signals import worker_process_init
from celery.utils.nodenames import gethostname

from gateway import log
from gateway.ledger.engine import Ledger
from gateway.settings import Settings

SETTINGS = Settings.load()
LEDGER = Ledger(SETTINGS.ledger_url)

VISIBILITY_TIMEOUT_S = 7200
"""After this long Redis hands an unacknowledged message to somebody else. Harmless, since a
claim fences off the second runner, but wasteful: it is longer than any step should take."""

SWEEP_QUEUE, WRAP_QUEUE, SUMMARY_QUEUE, SEND_QUEUE = "sweep", "wrap", "summary", "send"

app = Celery("capsule-gateway", broker=SETTINGS.broker_url, include=["workers.tasks"])
app.conf.update(
    task_acks_late=True,  # a message outlives the worker that takes it
    task_reject_on_worker_lost=True,  # and comes back at once when that is killed
    worker_prefetch_multiplier=1,  # no worker sits on work another could do
    task_ignore_result=True,  # results are rows in the ledger
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # the broker may be away for as long as it likes
    task_default_queue=SWEEP_QUEUE,
    task_routes={
        "workers.tasks.sweep": {"queue": SWEEP_QUEUE},
        "workers.tasks.wrap": {"queue": WRAP_QUEUE},
        "workers.tasks.summarise": {"queue": SUMMARY_QUEUE},
        "workers.tasks.send": {"queue": SEND_QUEUE},
        "workers.tasks.request_commitment": {"queue": SEND_QUEUE},
    },
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "unacked_restore_interval": 10,  # by default a lost message comes back after minutes
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
        "socket_timeout": 30,
        "health_check_interval": 10,
        "global_keyprefix": "capsule:",  # a shared broker keeps its other keys
    },
    worker_hijack_root_logger=False,
    worker_max_tasks_per_child=500,  # OpenCV and numpy fragment memory over time
    beat_schedule={
        "sweep": {
            "task": "workers.tasks.sweep",
            "schedule": SETTINGS.sweep_interval_s,
            # A sweep nobody ran in time is not made up for: the next one sees the same rows.
            "options": {"expires": max(2.0, 2 * SETTINGS.sweep_interval_s)},
        }
    },
)

log.configure(SETTINGS, f"worker@{gethostname()}")


@worker_process_init.connect
def _after_fork(**_: object) -> None:
    LEDGER.dispose(close=False)  # the parent's connections are not ours to use or to close
