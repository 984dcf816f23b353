"""Exports of a job's records."""

import csv
import io
import json

from app.db.engine import Database
from tests.app.history.recorded_job import evaluation, interrupt_and_claim, metrics, noisy, send
from tests.app.player import Player
from tests.factories import make_metric


def test_exports_contain_every_record(player: Player, database: Database) -> None:
    job = player.submit()
    first = player.claim()
    send(player, first, noisy(range(1, 1001), at_7=float("nan")))
    second = interrupt_and_claim(player, database, first)
    send(player, second, [make_metric(1, 501), evaluation(2, 501, 1.5)])

    response = player.client.get(f"/v1/jobs/{job}/metrics", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    lines = player.client.get(f"/v1/jobs/{job}/metrics?format=ndjson&names=loss").text.splitlines()

    assert response.headers["content-type"].startswith("text/csv")
    assert [int(row["step"]) for row in rows] == [*range(1, 502), 501]
    assert [row["attempt"] for row in rows[-3:]] == ["1", "2", "2"]
    assert (rows[6]["loss"], rows[-1]["loss"], rows[-1]["eval_loss"]) == ("", "", "1.5")
    assert len(lines) == 501
    assert json.loads(lines[6])["values"] == {"loss": None}


def test_exports_contain_only_the_requested_steps(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, *noisy(range(1, 21)))
    cursor = metrics(player, job)["cursor"]
    player.sync(claim, *(make_metric(n) for n in range(21, 41)))
    url = f"/v1/jobs/{job}/metrics?names=loss"

    for query, steps in (
        ("from_step=5&to_step=7", range(5, 8)),
        (f"since={cursor}", range(21, 41)),
        (f"since={cursor}&to_step=25", range(21, 26)),
        ("from_step=41", range(0)),
    ):
        rows = csv.DictReader(io.StringIO(player.client.get(f"{url}&format=csv&{query}").text))
        lines = player.client.get(f"{url}&format=ndjson&{query}").text.splitlines()
        assert [int(row["step"]) for row in rows] == list(steps), query
        assert [json.loads(line)["step"] for line in lines] == list(steps), query
    rejected = player.client.get(f"{url}&format=csv&since=nonsense")
    assert (rejected.status_code, rejected.json()["error"]["param"]) == (400, "since")
