"""Any process may be killed at any moment: what was acknowledged arrives, bit for bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from gateway.model import StudyState
from gateway.packs import index as pack_index
from gateway.simulator.workstation import SendInterrupted
from gateway.up import broker, roles, runfile
from tests.running import (
    eventually,
    gateway_on,
    kill_group,
    make_study,
    running,
    settings_for,
)

pytestmark = pytest.mark.timeout(240)


def kept_uids(settings) -> set[str]:
    uids: set[str] = set()
    for path in settings.packs_dir.glob("*/*/*.npy"):
        index = pack_index.load(path.with_suffix(".tar"))
        uids |= {uid.decode() for uid in index["sop_instance_uid"]}
    return uids


def test_killing_the_listener_mid_association_loses_no_acknowledged_frame(tmp_path):
    settings = settings_for(tmp_path)
    study, frames = make_study(300)
    with gateway_on(settings) as gateway, running(settings) as supervisor:

        def kill_at_120(count: int) -> None:
            if count == 120:
                kill_group(supervisor.pid(roles.SCP))

        killed = runfile.wait_for(settings.run_dir, roles.SCP, timeout_s=30).pid
        with pytest.raises(SendInterrupted) as interrupted:
            gateway.send(study, frames, kill_at_120)
        acknowledged = interrupted.value.report
        assert acknowledged.acknowledged_count >= 120

        def restarted() -> bool:
            entry = runfile.read(settings.run_dir, roles.SCP)
            return entry is not None and entry.pid != killed

        eventually(restarted, "the listener is started again")
        acknowledged_uids = set(list(acknowledged.digests)[: acknowledged.acknowledged_count])
        assert acknowledged_uids <= kept_uids(settings)
        again = gateway.send(study, frames)
        assert again.acknowledged_count == 300
        gateway.wait_until_delivered()
        gateway.assert_nothing_was_lost(dict(again.digests))
        line = gateway.study()
        assert line.study.report["duplicate_count"] == 0


def test_killing_the_worker_while_it_wraps_changes_nothing_but_the_time(tmp_path):
    settings = settings_for(tmp_path, part_frames_max=5)
    study, frames = make_study(400)
    with gateway_on(settings) as gateway, running(settings) as supervisor:
        report = gateway.send(study, frames)
        eventually(lambda: gateway.state() is StudyState.WRAPPING, "a worker wraps")
        kill_group(supervisor.pid(roles.WORKER))
        gateway.wait_until_delivered()
        gateway.assert_nothing_was_lost(dict(report.digests))


def test_a_flushed_broker_changes_nothing_but_the_time(tmp_path):
    settings = settings_for(tmp_path)
    study, frames = make_study(200)
    with gateway_on(settings) as gateway, running(settings):
        report = gateway.send(study, frames)
        client = redis.Redis(unix_socket_path=str(broker.socket_path(settings.home)))
        for _ in range(20):
            client.flushall()
        client.close()
        gateway.wait_until_delivered()
        gateway.assert_nothing_was_lost(dict(report.digests))


def test_killed_altogether_and_started_again_it_goes_on_where_it_was(tmp_path):
    settings = settings_for(tmp_path)
    study, frames = make_study(300)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CAPSULE_")}
    environ |= settings.as_environment()

    def up() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", "up"], env=environ, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    with gateway_on(settings) as gateway:
        first = up()
        try:
            runfile.wait_for(settings.run_dir, roles.SCP, timeout_s=60)
            killed = runfile.read(settings.run_dir, roles.SCP).pid

            def kill_all_at_150(count: int) -> None:
                if count == 150:
                    os.kill(first.pid, signal.SIGKILL)

            with pytest.raises(SendInterrupted) as interrupted:
                gateway.send(study, frames, kill_all_at_150)
        finally:
            first.kill()
            first.wait()
        acknowledged = interrupted.value.report
        eventually(lambda: not Path(f"/proc/{killed}").exists(), "its children ended with it")
        second = up()
        try:
            runfile.wait_for(settings.run_dir, roles.SCP, timeout_s=60)
            uids = set(list(acknowledged.digests)[: acknowledged.acknowledged_count])
            assert uids <= kept_uids(settings)
            again = gateway.send(study, frames)
            gateway.wait_until_delivered()
            gateway.assert_nothing_was_lost(dict(again.digests))
        finally:
            second.send_signal(signal.SIGTERM)
            second.wait(timeout=30)
