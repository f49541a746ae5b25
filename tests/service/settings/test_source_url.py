"""The addresses of sources, as flags, the environment and files say them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonzero import SettingsError
from nonzero_service.settings import Settings
from nonzero_service.settings.source_url import SourceUrl, read_source


def test_an_address_says_it_all() -> None:
    source = read_source(
        "kafka://a.example:9092,10.0.0.1,[fd00::5]:9093/shown?labels=clicked&format=json&model=ads"
        "&start=latest&lost=skip&errors=bad&topic_id=abc,def&wait=2h"
    )
    brokers = ("a.example:9092", "10.0.0.1", "[fd00::5]:9093")
    assert source == SourceUrl(
        brokers, "shown", "clicked", "json", "ads", "latest", "skip", "bad", ("abc", "def"), 7_200_000
    )
    assert source.topics == ("shown", "clicked")


def test_an_address_says_no_more_than_it_must() -> None:
    assert read_source("kafka://a/t") == SourceUrl(("a",), "t")
    assert read_source("kafka://a/?labels=clicked").topics == ("clicked",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://a/t", "begins with no kafka://"),
        ("kafka:///t", "names no broker"),
        ("kafka://a", "names no topic"),
        ("kafka://a/", "names no topic"),
        ("kafka://a/t/u", "'t/u', which is no name of a topic"),
        ("kafka://a b/t", "'a b' is no broker"),
        ("kafka://a:b/t", "'a:b' is no broker"),
        ("kafka://a:99999/t", "the broker 'a:99999' has a port that is none; give one of 1 to 65535"),
        ("kafka://a:0/t", "a port that is none"),
        ("kafka://[fd00::5/t", "'kafka://[fd00::5/t' is no address"),
        ("kafka://a/t&format=vw", "a & stands in 't&format=vw' before any ?"),
        ("kafka://a/?topic=t", "the topic stands before the ?"),
        ("kafka://a/?labels=t&format=vw", "format is 'vw', and no topic of examples is named"),
        ("kafka://a/t?wait=10m", "no topic of clicks is named; add labels=TOPIC"),
        ("kafka://a/t#x", "nothing is read behind #"),
        ("kafka://a/t?formt=vw", "there is no 'formt' of a source; did you mean 'format'?"),
        ("kafka://a/t?zzz=1", "there are errors, format, labels"),
        ("kafka://a/t?format=csv", "format is 'csv'; give json, ndjson, vw or libsvm"),
        ("kafka://a/t?format=vw&format=vw", "format stands twice"),
        ("kafka://a/t?model=Ads", "model is 'Ads', which is no name of a model"),
        ("kafka://a/t?start=now", "start is 'now'; give earliest or latest"),
        ("kafka://a/t?lost=", "lost is ''; give refuse or skip"),
        ("kafka://a/t?labels=c&wait=10", "wait is '10'; give a number and its unit"),
        ("kafka://a/t?topic_id=", "topic_id is empty"),
        ("kafka://a/t?labels=t", "labels is 't', the topic of the impressions"),
        ("kafka://a/t?errors=t", "errors is 't', which is read too"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(source=[text])
    assert str(refused.value).startswith("source: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["kafka://me:secret@a/t", "kafkas://me:secret@a/t", "kafka://me:secret@a"])
def test_a_password_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(source=[text])
    assert "secret" not in str(refused.value)


def test_two_sources_of_one_model_are_refused() -> None:
    with pytest.raises(SettingsError, match="two sources are for the model 'default'"):
        Settings.load(source="kafka://a/t kafka://b/u")


def test_properties_without_a_source_are_refused() -> None:
    with pytest.raises(SettingsError, match="source_config is 'x', and there is no source"):
        Settings.load(source_config="x")


def test_a_source_stands_in_the_environment_or_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('source = ["kafka://a/t", "kafka://a/u?model=ads"]\n')
    assert [one.model for one in Settings.load(config=file).source] == ["default", "ads"]
    monkeypatch.setenv("NONZERO_SOURCE", "kafka://b/t kafka://b/u?model=two")
    assert [one.model for one in Settings.load(config=file).source] == ["default", "two"]
    assert [one.model for one in Settings.load(config=file, source=("kafka://c/t?model=three",)).source] == [
        "three"
    ]
