import pytest

from gateway.settings import Settings
from gateway.up import broker, roles, runfile


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, workers=3, dicom_port=0, web_port=0)


def by_name(settings):
    return {child.name: child for child in roles.children(settings)}


def test_the_broker_is_ready_before_anything_else_starts(settings):
    orders = {name: child.order for name, child in by_name(settings).items()}
    assert list(orders) == ["broker", "scp", "web", "beat", "worker-sweep", "worker"]
    assert all(order > orders["broker"] for name, order in orders.items() if name != "broker")


def test_the_inbox_is_watched_only_if_a_folder_is_named(tmp_path):
    assert "inbox" not in by_name(Settings(home=tmp_path))
    child = by_name(Settings(home=tmp_path, inbox=str(tmp_path / "in")))["inbox"]
    assert child.argv[-2:] == ("gateway", "inbox")
    assert Settings.load(child.environ).inbox == str(tmp_path / "in")


def test_every_role_is_told_where_the_embedded_broker_is(settings):
    for name, child in by_name(settings).items():
        if name != "broker":
            loaded = Settings.load(child.environ)
            assert loaded.broker_url == broker.broker_url(settings.home)
            assert loaded.model_copy(update={"broker_url": ""}) == settings


def test_a_configured_broker_is_used_and_none_is_started(tmp_path):
    settings = Settings(home=tmp_path, broker_url="redis://broker.example:6379/0")
    children = by_name(settings)
    assert "broker" not in children
    assert children["worker"].environ["CAPSULE_BROKER_URL"] == settings.broker_url


def test_the_sweep_never_waits_behind_long_work(settings):
    children = by_name(settings)
    queues = {
        name: children[name].argv[children[name].argv.index("-Q") + 1]
        for name in ("worker-sweep", "worker")
    }
    assert queues == {"worker-sweep": "sweep", "worker": "wrap,summary,send"}


def test_as_many_processes_work_as_the_settings_say(settings):
    argv = by_name(settings)["worker"].argv
    assert argv[argv.index("-c") + 1] == "3"


def test_node_names_differ_between_roles_and_between_data_directories(tmp_path):
    names = set()
    for home in (tmp_path / "a", tmp_path / "b"):
        for role in ("worker-sweep", "worker"):
            argv = by_name(Settings(home=home))[role].argv
            names.add(argv[argv.index("-n") + 1])
    assert len(names) == 4


@pytest.mark.parametrize("role", ["scp", "web"])
def test_a_listener_is_ready_when_it_has_announced_itself(settings, role):
    child = by_name(settings)[role]
    assert not child.ready()
    runfile.announce(settings.run_dir, role, host="127.0.0.1", port=4242)
    assert child.ready()


@pytest.mark.parametrize("role", ["scp", "web"])
def test_an_old_announcement_is_removed_before_a_listener_starts(settings, role):
    runfile.announce(settings.run_dir, role)  # by a process that lives: this one
    child = by_name(settings)[role]
    child.prepare()
    assert not child.ready()


def test_nothing_is_written_before_a_child_starts(settings):
    roles.children(settings)
    assert list(settings.home.iterdir()) == []
