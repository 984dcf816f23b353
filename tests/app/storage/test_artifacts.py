import hashlib

import pytest
from sqlalchemy import update

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Job
from tests.app.player import Player


def test_a_downloaded_artifact_equals_the_uploaded_one(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    content = bytes(range(256)) * 20_000
    sha256 = hashlib.sha256(content).hexdigest()

    assert player.put_artifact(claim, content=content[:700_000]).status_code == 201
    assert player.put_artifact(claim, "output.log", b"log").status_code == 201

    listed = player.get(f"/v1/jobs/{job}/artifacts")["data"]
    assert [(item["name"], item["bytes"]) for item in listed] == [
        ("adapter.zip", 700_000),
        ("output.log", 3),
    ]
    sha256 = hashlib.sha256(content[:700_000]).hexdigest()
    whole = player.client.get(f"/v1/jobs/{job}/artifacts/adapter.zip")
    assert whole.content == content[:700_000]
    assert whole.headers["etag"] == f'"{sha256}"'
    assert whole.headers["content-disposition"] == 'attachment; filename="adapter.zip"'

    part = player.client.get(
        f"/v1/jobs/{job}/artifacts/adapter.zip", headers={"Range": "bytes=100-199"}
    )
    assert (part.status_code, part.content) == (206, content[100:200])
    head = player.client.head(f"/v1/jobs/{job}/artifacts/adapter.zip")
    assert (head.status_code, head.headers["content-length"]) == (200, "700000")


@pytest.fixture
def artifact(player: Player) -> str:
    """Return the path of a ten-byte artifact."""
    job = player.submit()
    assert player.put_artifact(player.claim(), content=b"0123456789").status_code == 201
    return f"/v1/jobs/{job}/artifacts/adapter.zip"


def test_a_range_beyond_the_end_is_rejected_with_a_standard_error(
    player: Player, artifact: str
) -> None:
    response = player.client.get(artifact, headers={"Range": "bytes=99-"})

    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */10"
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("range_not_satisfiable", "Range")
    assert "10 bytes" in error["message"]


@pytest.mark.parametrize(
    "header", ["bytes=abc", "bytes=5-2", "lines=1-2", "bytes=-", "bytes=" + "0-0,5-5," * 50]
)
def test_an_invalid_range_header_returns_the_whole_file(
    player: Player, artifact: str, header: str
) -> None:
    response = player.client.get(artifact, headers={"Range": header})

    assert (response.status_code, response.content) == (200, b"0123456789")


def test_several_ranges_are_returned_as_a_multipart_response(player: Player, artifact: str) -> None:
    response = player.client.get(artifact, headers={"Range": "bytes=8-,0-1,99-"})

    assert response.status_code == 206
    assert response.headers["content-type"].startswith("multipart/byteranges; boundary=")
    for part in (b"bytes 0-1/10\r\n\r\n01\r\n", b"bytes 8-9/10\r\n\r\n89\r\n"):
        assert part in response.content


def test_a_range_is_honored_only_if_the_file_has_not_changed(player: Player, artifact: str) -> None:
    etag = player.client.get(artifact).headers["etag"]

    def get(**headers: str) -> tuple[int, bytes]:
        response = player.client.get(
            artifact, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        return response.status_code, response.content

    assert get(Range="bytes=0-1", If_Range=etag) == (206, b"01")
    assert get(Range="bytes=0-1", If_Range='"another"') == (200, b"0123456789")
    assert get(Range="bytes=99-", If_Range='"another"') == (200, b"0123456789")
    assert get(Range="bytes=0-1", If_None_Match=etag) == (304, b"")
    assert get(Range="bytes=0-1", If_None_Match='"another"') == (206, b"01")
    head = player.client.head(artifact, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["content-length"]) == (200, "10")


def test_a_repeated_upload_changes_nothing_and_a_different_one_replaces_the_file(
    player: Player, settings: Settings
) -> None:
    job = player.submit()
    claim = player.claim()

    codes = [player.put_artifact(claim, content=c).status_code for c in (b"one", b"one", b"two")]

    assert codes == [201, 200, 201]
    assert player.client.get(f"/v1/jobs/{job}/artifacts/adapter.zip").content == b"two"
    stored = [path for path in (settings.data_dir / "artifacts").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] == [b"two"]


def test_a_damaged_upload_is_not_stored(player: Player, settings: Settings) -> None:
    job = player.submit()
    claim = player.claim()

    response = player.put_artifact(claim, sha256="0" * 64)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "checksum_mismatch")
    assert player.get(f"/v1/jobs/{job}/artifacts")["data"] == []
    assert list((settings.data_dir / "aside").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "a%2Fb", "%00", "x" * 101, "..%2f..%2fx"])
def test_an_artifact_name_cannot_be_a_path(player: Player, name: str) -> None:
    player.submit()

    assert player.put_artifact(player.claim(), name).status_code in {400, 404, 405}


def test_an_upload_above_the_limit_is_rejected(player: Player, settings: Settings) -> None:
    player.submit()

    response = player.put_artifact(player.claim(), content=b"x" * (settings.max_upload_bytes + 1))

    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert list((settings.data_dir / "aside").iterdir()) == []


def test_the_newest_attempts_artifact_replaces_an_earlier_one_of_the_same_name(
    player: Player, database: Database
) -> None:
    job = player.submit()
    first = player.claim()
    player.put_artifact(first, content=b"old")
    player.finish(first, "interrupted")
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))
    player.put_artifact(player.claim(), content=b"new")

    assert player.client.get(f"/v1/jobs/{job}/artifacts/adapter.zip").content == b"new"
    assert [item["attempt"] for item in player.get(f"/v1/jobs/{job}/artifacts")["data"]] == [2]


def test_missing_artifacts_and_jobs_are_not_found(player: Player) -> None:
    job = player.submit()

    for path in (f"{job}/artifacts/adapter.zip", "job_none/artifacts/x", "job_none/artifacts"):
        assert player.client.get(f"/v1/jobs/{path}").status_code == 404
