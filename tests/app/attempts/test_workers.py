from datetime import timedelta

from sqlalchemy import update

from app.db.engine import Database, database_now
from app.db.tables import Worker
from app.workers.store import LIVE_SECONDS
from tests.app.player import Player


def test_a_worker_is_listed_with_its_device_models_and_current_job(player: Player) -> None:
    device = {"kind": "cuda", "name": "H200", "memory_bytes": 5}
    player.hello(worker_id="gpu-1", host="h", pid=7, models=["m"], device=device)
    player.hello(worker_id="idle")
    job = player.submit()
    player.claim(worker_id="gpu-1", host="h", pid=7, models=["tiny-qwen2"], device=device)

    workers = player.get("/v1/workers")["data"]

    assert [worker["id"] for worker in workers] == ["gpu-1", "idle"]
    assert [worker["current_job"] for worker in workers] == [job, None]
    assert workers[0]["device"]["name"] == "H200"
    assert workers[0]["models"] == ["tiny-qwen2"]
    assert (workers[0]["pid"], workers[0]["live"]) == (7, True)


def test_a_worker_that_has_been_silent_too_long_is_not_live(
    player: Player, database: Database
) -> None:
    player.hello(models=["only-this"])
    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=LIVE_SECONDS + 1)
        session.execute(update(Worker).values(last_seen_at=past))

    assert player.get("/v1/workers")["data"][0]["live"] is False
    assert player.post_job(model="another").status_code == 201, (
        "without a live worker, any model is accepted"
    )
