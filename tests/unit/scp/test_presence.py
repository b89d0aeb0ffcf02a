"""A name is alive while its process holds the lock; other gateways are left alone."""

import subprocess
import sys

from gateway.scp.presence import Living, Presence, node_id
from tests.listening import make_settings


def test_a_listener_lives_until_it_is_closed(tmp_path):
    settings = make_settings(tmp_path)
    presence = Presence(settings)
    assert presence.name in Living(settings)
    presence.close()
    assert presence.name not in Living(settings)


def test_a_process_that_was_killed_lives_no_longer_and_its_lock_is_cleared_away(
    tmp_path, project_environ
):
    settings = make_settings(tmp_path)
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from gateway.settings import Settings; from gateway.scp.presence import Presence;"
        "presence = Presence(Settings(home=Path(sys.argv[1])));"
        "print(presence.name, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=project_environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = killed.stdout.strip()
    assert name.startswith(node_id(settings))
    mine = Presence(settings)
    living = Living(settings)
    assert name not in living
    living.forget_ended()
    assert mine.name in Living(settings)
    assert len(list((settings.run_dir / "listeners").iterdir())) == 1
    mine.close()


def test_what_belongs_to_another_gateway_is_taken_to_live(tmp_path):
    living = Living(make_settings(tmp_path))
    assert "0123456789ab/0123456789abcdef" in living
    assert "" not in living  # written by a version that had no names


def test_the_node_keeps_its_name(tmp_path):
    settings = make_settings(tmp_path)
    assert node_id(settings) == node_id(settings) != node_id(make_settings(tmp_path / "other"))


def test_names_fit_their_column(tmp_path):
    from gateway.ledger.schema import Association

    presence = Presence(make_settings(tmp_path))
    assert len(presence.name) <= Association.__table__.c.listener.type.length
    presence.close()
