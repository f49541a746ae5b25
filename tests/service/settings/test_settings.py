from __future__ import annotations

from pathlib import Path

import pytest

from nonzero import SettingsError
from nonzero_service.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"NONZERO_{name.upper()}", raising=False)


def test_the_documented_settings_and_their_defaults() -> None:
    assert Settings.load().model_dump() == {
        "config": None,
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "data_dir": Path("nonzero-data"),
        "journal": None,
        "node": None,
        "node_address": "127.0.0.1:0",
        "lease_seconds": 4,
        "max_lag_seconds": 0,
        "source": (),
        "source_config": None,
        "bits": 22,
        "learning_rate": "auto",
        "optimizer": "auto",
        "interactions": (),
        "schema_": None,
        "namespace_separator": "=",
        "durability": "full",
        "journal_retention": "snapshots",
        "snapshot_bytes": 1 << 30,
        "snapshot_seconds": 900,
        "impressions": "buffered",
        "negatives": "at_once",
        "attribution_seconds": 3600,
        "correction_seconds": 86400,
        "negative_rate": 1,
        "breaker": "on",
        "breaker_click_odds": 3,
        "breaker_unseen": 0.3,
        "breaker_loss": 2.0,
        "recalibration": "off",
        "slices": "",
        "import_file": None,
        "queue_bytes": 64 << 20,
        "max_body_bytes": 64 << 20,
        "max_decompressed_bytes": 1 << 30,
        "max_line_bytes": 16 << 20,
        "max_features": 100_000,
        "max_weight": 1000,
        "max_examples": 100_000,
        "max_upload_bytes": 16 << 30,
        "token_file": None,
        "allow_open": "off",
        "allowed_hosts": "",
        "ssl_certfile": None,
        "ssl_keyfile": None,
        "min_sequence_seconds": 1,
        "max_requests": 256,
        "max_requests_per_client": 128,
        "in_flight_bytes": 512 << 20,
        "max_connections": 2048,
        "max_header_bytes": 32 << 10,
        "max_headers": 100,
        "header_seconds": 5,
        "body_idle_seconds": 8,
        "min_body_rate": 100,
        "keep_alive_seconds": 75,
        "answer_idle_seconds": 30,
        "answer_bytes": 4 << 20,
        "grace_seconds": 30,
        "log_level": "info",
        "log_format": "json",
        "otel": "off",
    }


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
    for name in Settings.model_fields.keys() - {"config"}:
        assert f"`{name.strip('_')}`" in text


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nonzero.toml"
    file.write_text('bits = 10\nport = 1\nqueue_bytes = "1MiB"\nlearning_rate = 0.5\n')
    monkeypatch.setenv("NONZERO_BITS", "11")
    monkeypatch.setenv("NONZERO_PORT", "2")
    settings = Settings.load(config=file, bits=12, host=None)
    assert (settings.bits, settings.port, settings.queue_bytes) == (12, 2, 2**20)
    assert (settings.learning_rate, settings.host) == (0.5, "127.0.0.1")


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nonzero.toml"
    file.write_text("bits = 10\n")
    monkeypatch.setenv("NONZERO_CONFIG", str(file))
    assert Settings.load().bits == 10


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"bits": 31}, "bits"),
        ({"bits": 0}, "bits"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"port": 70_000}, "port"),
        ({"queue_bytes": -1}, "queue_bytes"),
        ({"max_body_bytes": "many"}, "max_body_bytes"),
        ({"log_level": "loud"}, "log_level"),
        ({"speed": 3}, "speed"),
        ({"ssl_keyfile": "key.pem"}, "--ssl-certfile"),
        ({"max_requests": 0}, "max_requests"),
        ({"max_weight": 0.5}, "max_weight"),  # less than an example has that says nothing
        ({"max_weight": 2e6}, "max_weight"),
        ({"header_seconds": 0}, "header_seconds"),
        ({"config": "absent.toml"}, "absent.toml"),
    ],
)
def test_a_bad_setting_is_named(flags: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.load(**flags)


SHARED = {"journal": "postgresql://clerk:Zq7-password@h1,h2:5433/db?sslmode=require", "node": "a"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"node": None}, "journal is shared by nodes: name this one too, as by --node a"),
        ({"journal": None}, r"node is 'a', .* \(--journal postgresql://...\), or leave node out"),
        ({"workers": 2}, "workers is 2, .* start more nodes"),
        ({"import_file": "a.safetensors"}, "import_file .* by PUT /v1/models/default"),
        ({"durability": "normal"}, "durability is 'normal', .* synchronous_commit"),
        ({"journal": "sqlite:///Zq7-password"}, "journal: .* such as postgresql://user@host/database"),
        ({"node": "a b"}, "node: 'a b' is no name of a node"),
        ({"node_address": "8100"}, "node_address: '8100' is not HOST:PORT"),
        ({"node_address": "10.0.0.5:99999"}, "node_address: '10.0.0.5:99999' is not HOST:PORT"),
        ({"node_address": "[fd00::5:1"}, "node_address: .* is not HOST:PORT"),
        ({"lease_seconds": 0.1}, "lease_seconds is 0.1; give a number of at least 0.5"),
    ],
)
def test_what_does_not_go_with_a_shared_journal_is_refused(flags: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        Settings.load(**SHARED | flags)
    assert "Zq7" not in str(refused.value)


def test_a_shared_journal_is_named_by_flags_the_environment_or_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nonzero.toml"
    file.write_text(f'journal = "{SHARED["journal"]}"\nnode = "b"\nlease_seconds = 2\n')
    monkeypatch.setenv("NONZERO_NODE_ADDRESS", "[fd00::5]:8100")
    settings = Settings.load(config=file, node="c")
    assert settings.journal is not None
    assert settings.journal.get_secret_value() == SHARED["journal"]
    assert (settings.node, settings.node_address, settings.lease_seconds) == ("c", "[fd00::5]:8100", 2)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "Zq7" not in shown


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NONZERO_BITZ", "3")
    with pytest.raises(SettingsError, match="NONZERO_BITZ"):
        Settings.load()


def test_the_nearest_name_of_an_unknown_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NONZERO_SNAPSHOT_SECOND", "3")
    with pytest.raises(
        SettingsError, match=r"NONZERO_SNAPSHOT_SECOND \(did you mean NONZERO_SNAPSHOT_SECONDS\?"
    ):
        Settings.load()


LINKS = {
    "NONZERO_SERVICE_HOST": "10.0.0.1",
    "NONZERO_SERVICE_PORT": "9000",
    "NONZERO_SERVICE_PORT_HTTP": "9000",
    "NONZERO_PORT": "tcp://10.0.0.1:9000",
    "NONZERO_PORT_9000_TCP": "tcp://10.0.0.1:9000",
    "NONZERO_PORT_9000_TCP_PROTO": "tcp",
    "NONZERO_PORT_9000_TCP_PORT": "9000",
    "NONZERO_PORT_9000_TCP_ADDR": "10.0.0.1",
    "NONZERO_WRITER_SERVICE_HOST": "fd00::7",
    "NONZERO_WRITER_SERVICE_PORT": "9001",
    "NONZERO_WRITER_PORT": "udp://[fd00::7]:9001",
    "NONZERO_WRITER_PORT_9001_UDP_ADDR": "fd00::7",
}


def test_what_kubernetes_puts_there_sets_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().port == 8000
    assert Settings.passed_over() == LINKS.keys()
    file = tmp_path / "nonzero.toml"
    file.write_text("port = 7\n")
    assert Settings.load(config=file).port == 7
    assert Settings.load(port=9).port == 9
    monkeypatch.setenv("NONZERO_PORT", "8001")  # what somebody chose, of the same name
    assert Settings.load().port == 8001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NONZERO_SERVICE_PORT", "9000"),  # without an address there is no service
        ("NONZERO_SERVICE_HOST", "my-host"),
        ("NONZERO_WRITER_PORT", "9000"),
        ("NONZERO_PORTS", "tcp://10.0.0.1:9000"),
        ("NONZERO_PORT", "tcp://"),
    ],
)
def test_what_only_looks_like_it_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"(?i){name.removeprefix('NONZERO_')}"):
        Settings.load()


@pytest.mark.parametrize("name", ["NONZERO_BITZ", "NONZERO_HOST_", "NONZERO_PORT_X", "NONZERO_POTR"])
def test_a_misspelt_variable_is_refused_beside_those_of_kubernetes(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for link, value in LINKS.items():
        monkeypatch.setenv(link, value)
    monkeypatch.setenv(name, "3")
    with pytest.raises(SettingsError, match=name):
        Settings.load()


@pytest.mark.parametrize("text", ["bitz = 3\n", "bits = \n"])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "nonzero.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"bitz|nonzero\.toml"):
        Settings.load(config=file)


def test_a_rate_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NONZERO_LEARNING_RATE", "0.25")
    assert Settings.load().learning_rate == 0.25
    monkeypatch.setenv("NONZERO_LEARNING_RATE", "auto")
    assert Settings.load().learning_rate == "auto"


def test_rules_and_interactions_are_read_as_text_lists_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(optimizer="ftrl:l1=2", interactions="site*hour, ad*user")
    assert settings.optimizer == "ftrl:alpha=0.1,beta=1.0,l1=2.0,l2=0.0"
    assert settings.interactions == ("site*hour", "ad*user")
    file = tmp_path / "nonzero.toml"
    file.write_text('interactions = ["a*b"]\noptimizer = "dual_averaging"\n')
    settings = Settings.load(config=file)
    assert (settings.interactions, settings.optimizer[:14]) == (("a*b",), "dual_averaging")
    monkeypatch.setenv("NONZERO_INTERACTIONS", "c*d,e*f")
    assert Settings.load(config=file).interactions == ("c*d", "e*f")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"optimizer": "sgd"}, "optimizer: .*'sgd'"),
        ({"optimizer": "ftrl:rate=1"}, "'rate=1'"),
        ({"optimizer": "ftrl:l1=-1"}, "l1 is -1.0"),
        ({"optimizer": "ftrl:l1=much"}, "'much'"),
        ({"optimizer": "ftrl ftrl"}, "2 rules"),
        ({"optimizer": "ftrl", "learning_rate": "0.1"}, "not both"),
        ({"interactions": "site"}, "interactions: .*'site'"),
    ],
)
def test_rules_and_interactions_that_are_none_are_named(flags: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.load(**flags)
