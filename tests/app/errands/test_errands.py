"""The errand protocol: the assignment of errands, silent workers, and the retention of results."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from httpx2 import Response
from sqlalchemy import func, select, update

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.tables import Errand, Leader
from app.errands import holding, store
from app.sweep.sweeper import Sweeper
from contracts.errands.errand import MOST_RESULT_BYTES, ErrandClaimRequest
from contracts.protocol.wire import ERRAND_FINISH_PATH, ERRAND_TOKEN_HEADER
from tests.app.bellringer import Bellringer
from tests.app.errands.errand_worker import MODEL, ErrandWorker, result_of
from tests.app.player import WORKER, Player


def ask(player: Player, dataset: str, wait: int = 0, **query: str) -> Response:
    return player.client.get(
        f"/v1/datasets/{dataset}/preview",
        params={"model": MODEL} | query,
        headers={"Prefer": f"wait={wait}"},
    )


@pytest.fixture
def sweeper(database: Database, settings: Settings, bell: Bellringer) -> Sweeper:
    sweeper = Sweeper(database, settings, bell)
    sweeper.sweep_once()  # the first sweep after an outage extends all leases
    return sweeper


def expire(database: Database, errand_id: str) -> None:
    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(Errand).where(Errand.id == errand_id).values(expires_at=past))


def test_an_errand_fails_with_the_reason_after_two_workers_have_fallen_silent(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    first, second = ErrandWorker(player, "w1"), ErrandWorker(player, "w2")
    dataset = player.upload()
    ask(player, dataset)
    lost = first.claim()
    assert second.post_claim().status_code == 204

    expire(database, lost.errand_id)
    assert first.beat(lost).status_code == 204  # assigned to this worker until the sweep
    expire(database, lost.errand_id)
    sweeper.sweep_once()

    again = second.claim()
    assert again.errand_id == lost.errand_id
    late = first.finish(lost, result=result_of(0, 1, 2))
    assert (late.status_code, late.json()["error"]["code"]) == (409, "errand_superseded")
    assert first.beat(lost).status_code == 409
    assert first.rows(lost).status_code == 409
    expire(database, again.errand_id)
    sweeper.sweep_once()
    answer = ask(player, dataset)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        409,
        "preview_unavailable",
        "model",
    )
    assert "w2" in error["message"]
    assert player.get(f"/v1/errands/{again.errand_id}")["error"]["code"] == "worker_lost"


def test_a_download_that_makes_progress_survives_lost_workers_and_outages_of_the_server(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    workers = [ErrandWorker(player, name, None, ("prefetch",)) for name in ("w1", "w2", "w3", "w4")]
    assert player.client.post("/v1/models/owner/model/prefetch").status_code == 202
    for worker in workers[:-1]:
        held = worker.claim()
        assert worker.beat(held, bytes_done=5).status_code == 204
        expire(database, held.errand_id)
        sweeper.sweep_once()

    held = workers[-1].claim()
    expire(database, held.errand_id)
    with database.writing() as session:  # the server was down for longer than a lease
        session.execute(
            update(Leader).values(beat_at=database_now(session) - timedelta(seconds=30))
        )
    sweeper.sweep_once()

    assert workers[-1].beat(held).status_code == 204


def test_a_worker_that_claims_again_loses_its_previous_claim(player: Player) -> None:
    worker = ErrandWorker(player)
    ask(player, player.upload())
    before = worker.claim()

    after = worker.claim()

    assert (after.errand_id, after.token != before.token) == (before.errand_id, True)
    assert worker.finish(before, result=result_of(0)).status_code == 409
    assert worker.finish(after, result=result_of(0)).status_code == 204


def test_an_errand_that_no_worker_claims_fails(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    ErrandWorker(player)
    dataset = player.upload()
    errand = ask(player, dataset).json()
    assert (errand["object"], errand["status"], errand["worker"]) == ("errand", "queued", None)

    expire(database, errand["id"])
    sweeper.sweep_once()

    assert player.get(f"/v1/errands/{errand['id']}")["error"]["code"] == "unclaimed"
    assert "within 60 seconds" in ask(player, dataset).json()["error"]["message"]


def test_a_worker_gets_only_errands_that_it_can_run(player: Player) -> None:
    ErrandWorker(player)
    ask(player, player.upload())

    other = ErrandWorker(player, "other", models=("another",))
    downloader = ErrandWorker(player, "downloader", kinds=("prefetch", "of-a-later-version"))

    assert other.post_claim().status_code == 204
    assert downloader.post_claim().status_code == 204


def test_a_worker_with_thousands_of_models_gets_an_errand_for_the_last_of_them(
    player: Player,
) -> None:
    worker = ErrandWorker(player, models=(*(f"m{n}" for n in range(2000)), MODEL))
    ask(player, player.upload())

    assert worker.claim().request.kind == "preview"


def test_a_claim_and_a_user_wait_for_each_other_without_polling(player: Player) -> None:
    worker = ErrandWorker(player)
    dataset = player.upload()

    with ThreadPoolExecutor(2) as threads:
        claiming = threads.submit(worker.claim, 20)
        asking = threads.submit(ask, player, dataset, 20)
        claim = claiming.result(timeout=15)
        worker.finish(claim, result=result_of(0, 1, 2))
        answer = asking.result(timeout=15)

    assert answer.status_code == 200, answer.text
    assert [row["row"] for row in answer.json()["rows"]] == [0, 1, 2]


def test_a_claim_that_has_waited_does_not_take_the_errand_of_a_later_claim_of_the_same_worker(
    player: Player, database: Database
) -> None:
    worker = ErrandWorker(player)
    ask(player, player.upload())
    held = worker.claim()
    request = ErrandClaimRequest(worker_id=worker.name, kinds=["preview"], models=[MODEL])

    with database.writing() as session:
        assert holding.claim_next(session, request, has_waited=True) is None

    assert worker.beat(held).status_code == 204


def test_a_result_that_is_too_large_or_of_another_kind_is_rejected(player: Player) -> None:
    worker = ErrandWorker(player)
    dataset = player.upload()
    ask(player, dataset)
    claim = worker.claim()

    large = worker.finish(claim, result=result_of(0, text="x" * (MOST_RESULT_BYTES + 100_000)))
    wrong = worker.finish(claim, result={"kind": "prefetch", "revision": "abc", "bytes": 1})

    assert large.status_code == 413
    assert wrong.status_code == 204
    assert player.get(f"/v1/errands/{claim.errand_id}")["error"]["code"] == "crashed"


def test_an_outcome_that_is_not_valid_is_rejected_and_leaves_the_errand_with_its_worker(
    player: Player,
) -> None:
    worker = ErrandWorker(player)
    ask(player, player.upload())
    claim = worker.claim()
    result = result_of(0, 1)
    result["rows"][1]["tokens"][0]["id"] = "x"

    invalid = worker.finish(claim, result=result)
    assert (invalid.status_code, invalid.json()["error"]["code"]) == (400, "invalid_field")
    other = worker.finish(claim, result={"kind": "preview", "rows": 1})
    assert (other.status_code, other.json()["error"]["code"]) == (400, "invalid_field")
    url = ERRAND_FINISH_PATH.format(errand_id=claim.errand_id)
    headers = WORKER | {ERRAND_TOKEN_HEADER: claim.token}
    for body, code in ((b"{", "invalid_json"), (b"[" * 100_000, "invalid_json"), (b"[]", None)):
        broken = player.client.post(url, content=body, headers=headers)
        assert broken.status_code == 400, broken.text
        assert code is None or broken.json()["error"]["code"] == code

    assert worker.beat(claim).status_code == 204


def test_deleting_a_dataset_also_deletes_the_rows_and_results_of_its_errands(
    player: Player, database: Database
) -> None:
    worker = ErrandWorker(player)
    dataset = player.upload()
    ask(player, dataset)
    claim = worker.claim()
    assert [row["row"] for row in worker.rows(claim).json()["rows"]] == [0, 1, 2]

    player.client.delete(f"/v1/datasets/{dataset}")

    assert worker.rows(claim).status_code == 409
    assert player.client.get(f"/v1/errands/{claim.errand_id}").status_code == 404
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Errand)) == 0


def test_the_number_and_age_of_ended_errands_are_limited(
    player: Player, database: Database
) -> None:
    worker = ErrandWorker(player)
    ids = []
    for mark in ("a", "b", "c"):
        ask(player, player.upload(mark=mark))
        claim = worker.claim()
        ids.append(claim.errand_id)
        worker.finish(claim, result=result_of(0))
    ask(player, player.upload(mark="open"))

    with database.writing() as session:
        now = database_now(session)
        # The first one ended last.
        end = now + timedelta(seconds=1)
        session.execute(update(Errand).where(Errand.id == ids[0]).values(finished_at=end))
        assert store.delete_ended(session, now, kept_seconds=60, most_kept=2) == 1
        assert [store.find_errand(session, each) is None for each in ids] == [False, True, False]
        later = now + timedelta(seconds=61)
        assert store.delete_ended(session, later, kept_seconds=60, most_kept=2) == 2
        assert len(store.list_open(session)) == 1
