"""How the server serves the page: only at its own paths, never stale, never from another host; the API works without it."""

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.site.page import PATHS, Page


@pytest.fixture
def build(app: FastAPI, tmp_path: Path) -> Path:
    """Give the application a page of one script."""
    (tmp_path / "build" / "assets").mkdir(parents=True)
    (tmp_path / "build" / "index.html").write_text("<!doctype html><title>the page</title>")
    (tmp_path / "build" / "assets" / "index-0a1b.js").write_text("document.title = 'run'\n" * 50)
    app.state.page = Page(tmp_path / "build")
    return tmp_path / "build"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_page_shows_it(client: TestClient, build: Path, path: str) -> None:
    answer = client.get(path.format(job_id="job_1"))

    assert answer.status_code == 200
    assert "the page" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    again = client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_assets_are_kept_for_good_and_come_compressed(client: TestClient, build: Path) -> None:
    plain = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "gzip"})

    assert plain.text == packed.text == (build / "assets" / "index-0a1b.js").read_text()
    assert re.match(r"(text|application)/javascript", plain.headers["content-type"])
    assert "immutable" in plain.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 9, mtime=0))


@pytest.mark.parametrize("refusal", ["identity", "gzip;q=0", "br, *;q=0"])
def test_assets_come_plain_to_a_client_that_refuses_gzip(
    client: TestClient, build: Path, refusal: str
) -> None:
    answer = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": refusal})

    assert "content-encoding" not in answer.headers
    assert answer.text == (build / "assets" / "index-0a1b.js").read_text()


@pytest.mark.parametrize("held", ["*", "W/{etag}", '"other", {etag}'])
def test_a_client_that_has_the_page_does_not_get_it_again(
    client: TestClient, build: Path, held: str
) -> None:
    etag = client.get("/").headers["etag"]

    assert client.get("/", headers={"If-None-Match": held.format(etag=etag)}).status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/jobs", "/jobs/a/b", "/assets/none.js", "/assets/..%2findex.html", "/index.html"],
)
def test_other_paths_keep_the_error_shape(client: TestClient, build: Path, path: str) -> None:
    answer = client.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "path_not_found"


def test_without_a_build_the_page_says_how_to_make_one(
    client: TestClient, app: FastAPI, tmp_path: Path
) -> None:
    app.state.page = Page(tmp_path / "none")

    assert "./script/page" in client.get("/").text
    assert client.get("/v1/jobs").json()["data"] == []
