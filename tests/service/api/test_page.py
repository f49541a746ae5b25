"""The page as HTTP has it: what is sent, and what a browser may do with it. ``service/page`` looks at it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from nonzero_service.api.page import TYPES, page_files
from service.conftest import ServiceProcess

FOLDER = Path(__file__).parents[3] / "service/nonzero_service/page"


def test_each_file_of_the_page_is_sent_as_it_is(client: httpx.Client) -> None:
    files = sorted(FOLDER.iterdir())
    assert {path.name for path in files} == page_files().keys()
    for path in files:
        answer = client.get("/" if path.name == "index.html" else f"/page/{path.name}")
        assert (answer.status_code, answer.content) == (200, path.read_bytes()), path
        assert answer.headers["content-type"].encode() == TYPES[path.suffix]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
def test_what_a_browser_has_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"  # it is to ask each time
    tag = first.headers["etag"]
    for told in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"if-none-match": told})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
        assert client.head(path, headers={"if-none-match": told}).status_code == 304
    assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_nothing_but_the_services_own_files_is_run_or_shown(client: httpx.Client) -> None:
    page = client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert not re.search(r"unsafe|\*|https?:|data:", page.headers["content-security-policy"])
    assert policy["require-trusted-types-for"] == "'script'"  # nothing is ever read as markup
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?! type=\"module\" src=)", page.text)


def test_all_that_the_page_refers_to_is_there(client: httpx.Client) -> None:
    page = client.get("/").text
    referred = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {"page/main.js", "page/page.css", "docs", "openapi.json"} <= set(referred)
    modules = [
        f"page/{name}"
        for path in FOLDER.glob("*.js")
        for name in re.findall(r'from "\./([\w.]+)"', path.read_text())
    ]
    for path in {*referred, *modules}:
        assert client.get(f"/{path}").status_code == 200, path
    assert "://" not in re.sub(r'xmlns="[^"]*"', "", page)


@pytest.mark.parametrize("asset", ["none.js", "..%2Fapi%2Fpage.py", "main.py", "__init__.py"])
def test_only_its_files_are_sent(client: httpx.Client, asset: str) -> None:
    assert client.get(f"/page/{asset}").status_code == 404


def test_it_takes_no_token_and_no_other_method(client: httpx.Client) -> None:
    refused = client.post("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_the_log_names_its_address(service: ServiceProcess) -> None:
    [line] = service.lines("listening")
    assert line["page"] == f"{service.url}/"
