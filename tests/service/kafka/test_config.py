"""What the client is told stands in a file of the operator's, of which no value is ever shown."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from machine import free_port
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.errors import SourceConfigError
from nonzero_service.kafka.properties import REFUSED, read_properties

SECRET = "hunter2-of-the-tests"


def written(place: Path, text: str, name: str = "kafka.properties") -> Path:
    file = place / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "kafka.properties",
            f"# mine\n\nsecurity.protocol=SASL_SSL\n sasl.password = {SECRET}\n! so\n",
        ),
        ("kafka.toml", f'"security.protocol" = "SASL_SSL"\n"sasl.password" = "{SECRET}"\n'),
        ("kafka.toml", f'[security]\nprotocol = "SASL_SSL"\n[sasl]\npassword = "{SECRET}"\n'),
        ("kafka.conf", f'security.protocol = "SASL_SSL"\nsasl.password = "{SECRET}"\n'),
    ],
)
def test_properties_are_toml_or_a_line_each(tmp_path: Path, name: str, text: str) -> None:
    wanted = {"security.protocol": "SASL_SSL", "sasl.password": SECRET}
    assert read_properties(written(tmp_path, text, name)) == wanted


def test_values_of_lines_may_hold_anything(tmp_path: Path) -> None:
    assert read_properties(written(tmp_path, 'sasl.password=a=b #c "d"\n')) == {"sasl.password": 'a=b #c "d"'}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.properties", f"{SECRET}\n", "whose line 1 is no name=value"),
        ("a.properties", f"linger.ms=5\n={SECRET}\n", "whose line 2 is no name=value"),
        ("a.properties", f'linger.ms=x\nsasl.password="{SECRET}"\n', "line 2 has quotes about its value"),
        ("a.toml", f"sasl.password={SECRET}", "which is no TOML: "),
        ("a.toml", f'a = ["{SECRET}"]', "where a is a list; a property is text, a number or a boolean"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        read_properties(written(tmp_path, text, name))
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError, match=r"'.*none', which cannot be read: No such file"):
        read_properties(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"a=\xff")
    with pytest.raises(SourceConfigError, match="it is no text in UTF-8"):
        read_properties(tmp_path / "latin")


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_break_the_promise_may_not_be_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        KafkaConfig.of(["127.0.0.1:9"], written(tmp_path, f"{name}=x\n"))
    assert str(caught.value) == f"source_config sets {name}, which it may not: {REFUSED[name]}; leave it out"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"sasl.pasword": SECRET}, 'No such configuration property: "sasl.pasword"'),
        ({"socket.timeout.ms": SECRET}, "socket.timeout.ms"),
        ({"security.protocol": SECRET}, "security.protocol"),
        ({"security.protocol": "SSL", "ssl.ca.location": f"/{SECRET}"}, "ssl.ca.location"),
        ({"sasl.jaas.config": SECRET}, "Java JAAS configuration is not supported"),
        ({"message.max.bytes": 64 << 20}, "fetch.max.bytes"),
    ],
)
def test_properties_that_the_client_does_not_take_are_named(properties: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        KafkaConfig(["127.0.0.1:9"], properties)
    assert "the client of Kafka does not take its properties" in str(caught.value)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_value_is_shown() -> None:
    config = KafkaConfig(["a:1", "b:2"], {"sasl.password": SECRET, "sasl.username": "who"})
    assert repr(config) == "KafkaConfig(a:1, b:2, sasl.password, sasl.username)"
    assert config.without_values(f"who is {SECRET}") == "... is ..."


def test_it_says_how_to_install_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is there, and a library of the system is not."""
    really = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name == "confluent_kafka":
            raise ImportError("no such thing", name=name)
        return really(name, *arguments)

    monkeypatch.delitem(sys.modules, "confluent_kafka")
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SourceConfigError, match=r"confluent_kafka\): pip install 'nonzero-ctr\[kafka\]'"):
        KafkaConfig(["127.0.0.1:9"])


def test_to_check_properties_says_nothing_of_brokers() -> None:
    """What checks them has begun to connect: whether it was refused before it was closed is chance."""
    with capture_logs() as said:
        for _ in range(100):
            KafkaConfig([f"127.0.0.1:{free_port()}"])
    assert said == []
