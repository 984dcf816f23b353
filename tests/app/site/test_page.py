"""The page is served only at its own paths, never stale, and loads nothing from other hosts. The API works without it."""

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.site.page import PATHS, Page


@pytest.fixture
def build(app: FastAPI, tmp_path: Path) -> Path:
    """Give the application a page with one script."""
    (tmp_path / "build" / "assets").mkdir(parents=True)
    (tmp_path / "build" / "index.html").write_text("<!doctype html><title>the page</title>")
    (tmp_path / "build" / "assets" / "index-0a1b.js").write_text("document.title = 'run'\n" * 50)
    app.state.page = Page(tmp_path / "build")
    return tmp_path / "build"


@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_served_at_each_of_its_paths(
    client: TestClient, build: Path, path: str
) -> None:
    response = client.get(path.format(job_id="job_1"))

    assert response.status_code == 200
    assert "the page" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-cache"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    again = client.get("/", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_assets_are_immutable_and_compressed(client: TestClient, build: Path) -> None:
    plain = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "gzip"})

    assert plain.text == packed.text == (build / "assets" / "index-0a1b.js").read_text()
    assert re.match(r"(text|application)/javascript", plain.headers["content-type"])
    assert "immutable" in plain.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 9, mtime=0))


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br, *;q=0"])
def test_assets_are_uncompressed_for_a_client_that_does_not_accept_gzip(
    client: TestClient, build: Path, accepted: str
) -> None:
    response = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": accepted})

    assert "content-encoding" not in response.headers
    assert response.text == (build / "assets" / "index-0a1b.js").read_text()


@pytest.mark.parametrize("tags", ["*", "W/{etag}", '"other", {etag}'])
def test_the_current_page_is_not_sent_again_to_a_client_that_has_it(
    client: TestClient, build: Path, tags: str
) -> None:
    etag = client.get("/").headers["etag"]

    assert client.get("/", headers={"If-None-Match": tags.format(etag=etag)}).status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/jobs", "/jobs/a/b", "/assets/none.js", "/assets/..%2findex.html", "/index.html"],
)
def test_unknown_paths_get_the_page_in_a_browser_and_a_json_error_elsewhere(
    client: TestClient, build: Path, path: str
) -> None:
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9"):
        response = client.get(path, headers={"Accept": accept})
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "path_not_found"

    shown = client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    assert shown.status_code == 404
    if path.startswith("/assets/"):
        assert shown.json()["error"]["code"] == "path_not_found"
    else:
        assert "the page" in shown.text
        assert "content-security-policy" in shown.headers
        assert client.post(path, headers={"Accept": "text/html"}).json()["error"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/internal/nothing"])
def test_unknown_paths_of_the_api_get_a_json_error_even_in_a_browser(
    client: TestClient, build: Path, path: str
) -> None:
    response = client.get(path, headers={"Accept": "text/html"})

    assert (response.status_code, response.json()["error"]["code"]) == (404, "path_not_found")


def test_without_a_build_the_response_explains_how_to_build_the_page(
    client: TestClient, app: FastAPI, tmp_path: Path
) -> None:
    app.state.page = Page(tmp_path / "none")

    assert "./script/page" in client.get("/").text
    assert client.get("/v1/jobs").json()["data"] == []
