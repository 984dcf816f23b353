"""A PostgreSQL database created without an encoding stores text in every script."""

import pytest

from app.db.engine import Database
from app.migrate import migrate
from contracts.base import utc_now
from contracts.record import LogRecord
from tests.app.player import Player


@pytest.fixture
def database_url(url_without_encoding: str) -> str:
    database = Database(url_without_encoding)
    migrate(database)
    database.close()
    return url_without_encoding


def test_names_labels_records_and_output_in_every_script_are_stored(player: Player) -> None:
    job = player.submit(name="微调 GRÖSSE", labels={"团队": "甲"})
    claim = player.claim()

    player.sync(claim, LogRecord(seq=1, at=utc_now(), message="训练 ö 😀", level="warning"))
    player.print(claim, 0, "输出\n")

    for query in ({"search": "größe"}, {"search": "微"}, {"label": "团队:甲"}):
        assert [found["id"] for found in player.get("/v1/jobs", **query)["data"]] == [job]
    lines = player.client.get(f"/v1/jobs/{job}/logs", headers={"Accept": "text/plain"}).text
    assert "训练 ö 😀" in lines
    assert "输出" in lines
