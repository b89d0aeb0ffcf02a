"""The embedded broker as `up` starts it: the real server, really killed."""

import os
import signal
import stat
import time

import pytest
import redis
from kombu import Connection

from gateway.settings import Settings
from gateway.up import broker, roles
from gateway.up.supervisor import Supervisor

DEADLINE_S = 20.0


@pytest.fixture(params=["home", "a home%20#1?"])
def home(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
def running(home):
    first = roles.children(Settings(home=home))[0]
    assert first.name == roles.BROKER
    with Supervisor([first], run_dir=home / "run") as supervisor:
        yield supervisor


def client_of(home):
    return redis.Redis(unix_socket_path=str(broker.socket_path(home)), socket_timeout=5)


def test_it_is_ready_when_the_supervisor_says_so(home, running):
    with client_of(home) as client:
        assert client.ping()


def test_celery_s_library_reaches_it_by_its_url(home, running):
    with Connection(broker.broker_url(home)) as connection:
        queue = connection.SimpleQueue("test")
        queue.put({"study": 1})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == {"study": 1}


def test_nobody_else_may_open_its_socket(home, running):
    path = broker.socket_path(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_listens_on_no_network_port(home, running):
    with client_of(home) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.info("server")["tcp_port"] == 0


def test_what_it_acknowledged_survives_kill_9(home, running):
    with client_of(home) as client:
        for number in range(1000):
            client.rpush("queue", number)
    killed = running.pid(roles.BROKER)
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while not (broker.is_ready(home) and running.pid(roles.BROKER) != killed):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with client_of(home) as client:
        assert [int(number) for number in client.lrange("queue", 0, -1)] == list(range(1000))


def test_what_it_acknowledged_survives_a_clean_stop(home):
    first = roles.children(Settings(home=home))[0]
    for expected in (None, b"kept"):
        with Supervisor([first], run_dir=home / "run"), client_of(home) as client:
            assert client.get("key") == expected
            client.set("key", "kept")
