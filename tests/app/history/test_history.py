import csv
import io
from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import TypeAdapter
from sqlalchemy import update

from app.db.engine import Database
from app.db.tables import Job
from app.history.schemas import LossPage
from contracts.attempt import Claim, OutputChunk
from contracts.base import utc_now
from contracts.record import LogRecord, MetricRecord
from tests.app.player import Player
from tests.factories import make_metric


def train(player: Player, claim: Claim, steps: Sequence[int], loss: float) -> None:
    player.sync(claim, *[make_metric(n, step, loss=loss) for n, step in enumerate(steps, start=1)])


def interrupt_and_claim(player: Player, database: Database, claim: Claim) -> Claim:
    player.finish(claim, "interrupted")
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))
    return player.claim()


def test_the_loss_history_contains_every_step_with_its_values(player: Player) -> None:
    job = player.submit()
    train(player, player.claim(), range(1, 1001), loss=1.5)

    page = player.get(f"/v1/jobs/{job}/loss")

    TypeAdapter(LossPage).validate_python(page, extra="forbid")
    assert [point["step"] for point in page["data"]] == list(range(1, 1001))
    point = page["data"][41]
    assert (point["loss"], point["learning_rate"], point["grad_norm"]) == (1.5, 2e-4, 1.0)
    assert (point["epoch"], point["attempt"]) == (0.1, 1)
    assert (page["has_more"], page["rewind_to_step"], page["nonfinite"]) == (False, None, [])


def test_a_newer_attempt_replaces_the_history_from_its_first_step(
    player: Player, database: Database
) -> None:
    job = player.submit()
    first = player.claim()
    train(player, first, range(1, 11), loss=1.0)
    second = interrupt_and_claim(player, database, first)
    train(player, second, range(6, 9), loss=2.0)
    third = interrupt_and_claim(player, database, second)
    train(player, third, range(8, 13), loss=3.0)

    line = player.get(f"/v1/jobs/{job}/loss")["data"]

    assert [point["step"] for point in line] == list(range(1, 13))
    assert [point["attempt"] for point in line] == [1] * 5 + [2] * 2 + [3] * 5
    assert [point["loss"] for point in line] == [1.0] * 5 + [2.0] * 2 + [3.0] * 5


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_reading_with_a_cursor_yields_the_whole_loss_history(
    player: Player, database: Database, limit: int
) -> None:
    job = player.submit()
    held: dict[int, object] = {}
    cursor = None

    def read() -> None:
        nonlocal cursor
        while True:
            query = {"limit": limit} | ({"since": cursor} if cursor else {})
            page = player.get(f"/v1/jobs/{job}/loss", **query)
            if page["rewind_to_step"] is not None:
                for step in [step for step in held if step > page["rewind_to_step"]]:
                    del held[step]
            held.update({point["step"]: point for point in page["data"]})
            cursor = page["cursor"]
            if not page["has_more"]:
                return

    read()
    claim = player.claim()
    for steps in (range(1, 8), range(4, 6), range(3, 5), range(5, 6)):
        train(player, claim, steps, loss=steps.start)
        read()
        claim = interrupt_and_claim(player, database, claim)
    read()

    whole = player.get(f"/v1/jobs/{job}/loss")["data"]
    assert list(held.values()) == whole
    assert [point["step"] for point in whole] == [1, 2, 3, 4, 5]


def test_a_page_that_reaches_a_new_attempt_reports_the_rewind(
    player: Player, database: Database
) -> None:
    job = player.submit()
    first = player.claim()
    train(player, first, range(1, 5), loss=1.0)
    cursor = player.get(f"/v1/jobs/{job}/loss")["cursor"]
    train(player, interrupt_and_claim(player, database, first), range(3, 6), loss=2.0)

    page = player.get(f"/v1/jobs/{job}/loss", since=cursor)

    assert page["rewind_to_step"] == 2
    assert [point["step"] for point in page["data"]] == [3, 4, 5]
    again = player.get(f"/v1/jobs/{job}/loss", since=page["cursor"])
    assert (again["data"], again["rewind_to_step"]) == ([], None)
    assert again["cursor"] == page["cursor"]


def test_metrics_without_a_loss_do_not_end_a_page_early(player: Player) -> None:
    job = player.submit()
    others = [
        MetricRecord(seq=seq, at=utc_now(), step=seq, values={"gpu_memory": 1.0})
        for seq in range(1, 10)
    ]
    player.sync(player.claim(), *others, make_metric(10), make_metric(11))

    page = player.get(f"/v1/jobs/{job}/loss", limit=2)
    steps = [point["step"] for point in page["data"]]
    while page["has_more"]:
        page = player.get(f"/v1/jobs/{job}/loss", limit=2, since=page["cursor"])
        steps += [point["step"] for point in page["data"]]

    assert steps == [10, 11]


def test_the_loss_history_can_be_read_as_csv(player: Player) -> None:
    job = player.submit()
    player.sync(player.claim(), make_metric(1, loss=float("nan")), make_metric(2, loss=1.25))

    for response in (
        player.client.get(f"/v1/jobs/{job}/loss", headers={"Accept": "text/csv"}),
        player.client.get(f"/v1/jobs/{job}/loss?format=csv"),
    ):
        assert response.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(response.text)))
        assert [(row["step"], row["loss"]) for row in rows] == [("1", ""), ("2", "1.25")]


def test_reading_events_continues_from_a_cursor(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    first = player.get(f"/v1/jobs/{job}/events", limit=1)
    player.finish(claim, "cancelled")
    rest = player.get(f"/v1/jobs/{job}/events", cursor=first["cursor"])
    end = player.get(f"/v1/jobs/{job}/events", cursor=rest["cursor"])

    assert first["has_more"] is True
    codes = [event["code"] for page in (first, rest) for event in page["data"]]
    assert codes == ["job_created", "attempt_started", "job_cancelled"]
    assert (end["data"], end["cursor"]) == ([], rest["cursor"])


def test_logs_combine_printed_output_and_log_records(player: Player, database: Database) -> None:
    job = player.submit()
    claim = player.claim()
    start = utc_now()

    def printed(offset: int, text: str, seconds: int) -> OutputChunk:
        at = start + timedelta(seconds=seconds)
        return OutputChunk(offset=offset, text=text, bytes=len(text.encode()), at=at)

    player.sync(claim, output=printed(0, "one\ntwo\n", 0))
    player.sync(claim, LogRecord(seq=1, at=start + timedelta(seconds=1), message="recorded"))
    player.sync(claim, output=printed(8, "three\n", 2))
    player.sync(interrupt_and_claim(player, database, claim), output=printed(0, "four", 3))

    expected = ["one", "two", "recorded", "three", "four"]
    whole = player.get(f"/v1/jobs/{job}/logs")["data"]
    assert [line["text"] for line in whole] == expected
    assert [line["attempt"] for line in whole] == [1, 1, 1, 1, 2]
    assert [line["source"] for line in whole].count("record") == 1
    text = player.client.get(f"/v1/jobs/{job}/logs", headers={"Accept": "text/plain"}).text
    assert text.splitlines() == expected

    for limit in (1, 2, 3):
        read: list[str] = []
        page = player.get(f"/v1/jobs/{job}/logs", limit=limit)
        while True:
            read += [line["text"] for line in page["data"]]
            if not page["has_more"]:
                break
            page = player.get(f"/v1/jobs/{job}/logs", limit=limit, cursor=page["cursor"])
        assert read == expected


def test_the_text_of_a_log_does_not_repeat_records_that_were_also_printed(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, LogRecord(seq=1, at=utc_now(), message="2 rows were truncated"))
    player.print(claim, 0, "[info] 2 rows were truncated\nsomething else\n")

    text = player.client.get(f"/v1/jobs/{job}/logs?format=text").text

    assert sorted(text.splitlines()) == ["2 rows were truncated", "something else"]


def test_new_log_lines_can_be_read_from_an_old_cursor(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.print(claim, 0, "one\n")
    cursor = player.get(f"/v1/jobs/{job}/logs")["cursor"]

    player.print(claim, 4, "two\n")

    page = player.get(f"/v1/jobs/{job}/logs", cursor=cursor)
    assert [line["text"] for line in page["data"]] == ["two"]


def test_a_summary_is_available_in_three_formats_and_two_languages(player: Player) -> None:
    job = player.submit()
    player.succeed(player.claim())

    def read(query: str = "", **headers: str) -> str:
        response = player.client.get(f"/v1/jobs/{job}/summary{query}", headers=headers)
        assert response.status_code == 200
        return response.text

    summary = player.get(f"/v1/jobs/{job}/summary")
    assert summary["eval_loss"] == 1.6
    assert round(summary["perplexity"], 2) == 4.95
    assert summary["verdicts"][0]["code"] == "perplexity_good"
    assert summary["verdicts"][0]["message"] == "PPL 4.95: good"
    assert "PPL 4.95: 良好" in read("?lang=zh")
    assert "训练结果摘要" in read("?lang=zh", Accept="text/plain")
    assert "训练结果摘要" in read(Accept="text/plain", **{"Accept-Language": "zh-CN,zh;q=0.9"})
    assert "训练结果摘要" not in read("?lang=en&format=text")
    assert read("?format=text").splitlines()[0].startswith("╔")
    assert "# " in read(Accept="text/markdown")


def test_a_job_without_a_summary_reports_its_status_instead(player: Player) -> None:
    job = player.submit()
    for status in ("queued", "running", "cancelled"):
        if status == "running":
            claim = player.claim()
        if status == "cancelled":
            player.finish(claim, "cancelled")
        response = player.client.get(f"/v1/jobs/{job}/summary")
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (409, "summary_not_ready")
        assert status in error["message"]
