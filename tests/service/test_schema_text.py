"""A schema as settings and files say it; how two of them differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nonzero import Schema, SettingsError
from nonzero_service.schema_text import read_schema, that_differs
from nonzero_service.settings import Settings

SAID = {"fields": {"bid": "number", "site": "category"}, "default": "infer"}


def test_a_file_and_its_text_and_what_it_holds_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SAID))
    fields = {"site": "category", "bid": "number"}
    for given in (file, str(file), json.dumps(SAID), " " + json.dumps(fields), fields, SAID, Schema(fields)):
        assert read_schema(given) == SAID
    nothing: Any
    for nothing in (None, "", {}, "{}", {"fields": {}}, '{"fields": {}, "default": "infer"}'):
        assert read_schema(nothing) is None
    monkeypatch.setenv("SCHEMA", "of something else")
    monkeypatch.setenv("NONZERO_SCHEMA", str(file))
    assert Settings.load().said == Schema(fields)
    toml = tmp_path / "nonzero.toml"
    toml.write_text('namespace_separator = "^"\n[schema.fields]\nbid = "category"\n')
    monkeypatch.delenv("NONZERO_SCHEMA")
    assert Settings.load(config=toml).said == Schema({"bid": "category"}, namespace_separator="^")
    # What workers are handed is read to the same.
    handed = json.loads(json.dumps(Settings.load(config=toml).model_dump(mode="json")))
    assert Settings(**handed).said == Settings.load(config=toml).said


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("/nowhere/schema.json", "the schema's file cannot be read: .*nowhere/schema.json.*or JSON"),
        ("{site: category}", "the schema is not JSON: "),
        ('{"site": "text"}', "'site' is 'text'; a kind is one of category, number, ignore"),
        ('{"default": "category"}', 'nothing but a "default": give'),
        ('{"fields": {}, "kinds": {}}', "no member 'kinds'"),
    ],
)
def test_what_is_no_schema_is_refused(given: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_schema(given)
    with pytest.raises(SettingsError, match="^schema: .*" + reason):
        Settings.load(schema=given)


def test_a_service_is_not_started_with_an_interaction_that_can_never_be(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"fields": {"site": "category", "hour": "category"}, "default": "refuse"}')
    with pytest.raises(SettingsError, match=r"'site\*hours'.*did you mean 'hour'"):
        Settings.load(schema=str(file), interactions="site*hours")
    assert Settings.load(schema=str(file), interactions="site*hour").interactions == ("site*hour",)


def test_of_two_schemas_what_differs_is_told_by_name() -> None:
    many: dict[str, Any] = {f"f{k}": "number" for k in range(20)}
    stored, wanted = that_differs(Schema(many | {"a": "ignore"}), Schema({"a": "number"}, "category"))
    first = ("f0", "f1", "f10", "f11")
    assert stored == {"fields": {"a": "ignore"} | dict.fromkeys(first, "number"), "default": "infer"}
    assert wanted == {"fields": {"a": "number"} | dict.fromkeys(first), "default": "category"}
    turned = Schema(dict(reversed(many.items())), namespace_separator="^")
    assert that_differs(Schema(many), turned) == ({}, {})
