"""Acknowledged findings, and when they are raised again."""

import threading

from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job
from tests.app.health.judged_job import acknowledge, health, make_due, raised, sample, start
from tests.app.player import Player
from tests.factories import make_metric


def test_an_acknowledged_finding_is_raised_again_if_it_gets_worse(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    before = player.job(job)
    assert before["health"][0]["acknowledged"] is False

    first, again = (acknowledge(player, job, "disk_nearly_full") for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() == player.job(job)
    assert first.json()["version"] == before["version"] + 1
    states = []
    for seq, free in ((2, 1.4e9), (3, 1.0e9), (4, 0.6e9)):
        make_due(database)
        player.sync(claim, samples=[sample(seq, disk_free_bytes=free)])
        states.append(health(player, job)["disk_nearly_full"]["acknowledged"])
    assert states == [True, True, False]
    assert raised(player, job) == ["disk_nearly_full"] * 2


def test_an_acknowledged_finding_is_raised_again_if_it_comes_back(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    assert acknowledge(player, job, "disk_nearly_full").status_code == 200
    for seq, free in ((2, 9e9), (3, 1.5e9)):
        make_due(database)
        player.sync(claim, samples=[sample(seq, disk_free_bytes=free)])

    assert health(player, job)["disk_nearly_full"]["acknowledged"] is False


def test_a_second_spike_is_raised_after_the_first_was_acknowledged(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    losses = [2.0] * 30 + [9.0] + [2.0] * 5
    player.sync(claim, *[make_metric(n, loss=loss) for n, loss in enumerate(losses, start=1)])
    assert health(player, job)["loss_spike"]["step"] == 31
    assert acknowledge(player, job, "loss_spike").status_code == 200

    make_due(database)
    player.sync(claim, make_metric(37))
    assert health(player, job)["loss_spike"]["acknowledged"] is True
    make_due(database)
    player.sync(claim, make_metric(38, loss=9.0))

    found = health(player, job)["loss_spike"]
    assert (found["acknowledged"], found["step"], found["values"]["count"]) == (False, 38, 2.0)


def test_a_finding_that_the_job_does_not_have_cannot_be_acknowledged(player: Player) -> None:
    job = player.submit()

    for code in ("stalled", "nonsense"):
        response = acknowledge(player, job, code)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "finding_not_found"
    unknown = acknowledge(player, "job_000000000000000000000000", "stalled")
    assert unknown.json()["error"]["code"] == "job_not_found"


def test_concurrent_acknowledgements_and_syncs_lose_nothing(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    values = {"disk_free_bytes": 1.5e9}
    losses = [2.0] * 30 + [9.0] + [2.0] * 5
    records = [make_metric(n, loss=loss) for n, loss in enumerate(losses, start=1)]
    player.sync(claim, *records, samples=[sample(1, **values)])
    codes = list(health(player, job))
    assert set(codes) == {"disk_nearly_full", "loss_spike"}

    threads = [threading.Thread(target=acknowledge, args=(player, job, code)) for code in codes]
    for thread in threads:
        thread.start()
    for seq in range(2, 8):
        make_due(database)
        player.sync(claim, samples=[sample(seq, **values)])
    for thread in threads:
        thread.join(30)

    assert all(finding["acknowledged"] for finding in health(player, job).values())


def test_a_finding_from_a_later_version_is_omitted(player: Player, database: Database) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    with database.writing() as session:
        row = session.scalars(select(Job)).one()
        row.health = [{"code": "sunspots", "level": "warning"}, *(row.health or [])]

    assert set(health(player, job)) == {"disk_nearly_full"}
    assert acknowledge(player, job, "disk_nearly_full").status_code == 200
