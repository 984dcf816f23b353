"""A job's metrics as the API returns them, on both databases."""

from typing import Any

import pytest

from app.db.engine import Database
from app.series import blocks
from app.series.points import Point, thin, with_ends
from contracts.base import utc_now
from contracts.record import LogRecord, MetricRecord, Record
from tests.app.history.recorded_job import (
    LONG,
    evaluation,
    interrupt_and_claim,
    metrics,
    noisy,
    points_of,
    send,
)
from tests.app.player import Player
from tests.factories import make_metric


def test_each_series_is_returned_in_its_own_columns(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(
        claim,
        evaluation(1, 0, 2.5),
        make_metric(2, 1, loss=2.0),
        make_metric(3, 2, loss=float("nan")),
        LogRecord(seq=4, at=utc_now(), message="a log record is not a series"),
        make_metric(5, 3, loss=1.0, tokens=100.0, seconds=0.5, token_accuracy=0.25),
        evaluation(6, 3, 1.5, token_accuracy=0.5),
    )

    response = metrics(player, job)

    assert response["names"] == sorted(response["series"])
    assert response["names"] == [
        "epoch",
        "eval_loss",
        "eval_token_accuracy",
        "grad_norm",
        "learning_rate",
        "loss",
        "seconds",
        "token_accuracy",
        "tokens",
        "tokens_per_second",
    ]
    assert points_of(response) == [(1, 2.0), (2, None), (3, 1.0)]
    assert response["series"]["loss"]["nonfinite"] == [2]
    assert points_of(response, "eval_loss") == [(0, 2.5), (3, 1.5)]
    assert points_of(response, "eval_token_accuracy") == [(3, 0.5)]
    assert points_of(response, "token_accuracy") == [(3, 0.25)]
    assert points_of(response, "tokens_per_second")[-1] == (3, 200.0)
    assert (response["status"], response["complete"], response["poll_after_seconds"]) == (
        "running",
        False,
        1.0,
    )
    only = metrics(player, job, names="loss,unknown", times=True)
    assert list(only["series"]) == ["loss", "unknown"]
    assert only["series"]["unknown"]["step"] == []
    assert len(only["series"]["loss"]["at"]) == 3


def test_sampling_a_long_series_keeps_its_ends_and_spikes(player: Player) -> None:
    job = player.submit()
    records = noisy(range(1, LONG + 1), at_1500=9.0, at_1501=0.5, at_2300=float("inf"))
    send(player, player.claim(), records)

    series = metrics(player, job, names="loss", max_points=100)["series"]["loss"]

    assert len(series["step"]) <= 100
    assert (series["points"], series["sampled"]) == (LONG, True)
    width = series["width"]
    assert width & (width - 1) == 0
    assert (series["step"][0], series["step"][-1]) == (1, LONG)
    assert series["value"][series["step"].index(1500)] == 9.0
    assert series["value"][series["step"].index(1501)] == 0.5
    assert series["nonfinite"] == [2300]


def test_a_series_that_starts_late_is_sampled_according_to_its_own_length(
    player: Player,
) -> None:
    job = player.submit()
    late = {step: {"late": float(step)} for step in range(LONG - 449, LONG + 1)}
    records = [make_metric(step, step, **late.get(step, {})) for step in range(1, LONG + 1)]
    send(player, player.claim(), records)

    response = metrics(player, job, names="late,loss", max_points=400)["series"]

    assert (response["late"]["points"], response["late"]["width"]) == (450, 4)
    assert (response["loss"]["points"], response["loss"]["width"]) == (LONG, 16)


def test_a_series_read_from_blocks_matches_its_records(player: Player) -> None:
    job = player.submit()
    records = noisy(range(1, LONG + 1), at_1024=7.0)
    send(player, player.claim(), records)
    points: list[Point] = [
        (record.seq, record.step, 0.0, record.values["loss"])
        for record in records
        if isinstance(record, MetricRecord)
    ]

    for start, end in ((0, LONG), (700, 1800), (1025, 2048), (2100, LONG), (5000, 6000)):
        for max_points in (10, 64, 300, 1000, 5000):
            query = {"from_step": start, "to_step": end, "max_points": max_points}
            series = metrics(player, job, names="loss", **query)["series"]["loss"]

            expected = [point for point in points if start <= point[1] <= end]
            assert series["points"] == len(expected)
            assert series["sampled"] == (len(expected) > max_points)
            if len(expected) > max_points:
                expected = with_ends(expected, thin(expected, series["width"]))
                assert len(expected) <= max_points
            assert series["step"] == [step for _, step, _, _ in expected]
            assert series["value"] == pytest.approx([value for *_, value in expected], rel=1e-5)


def test_sampled_points_do_not_move_while_new_points_arrive(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    records = noisy(range(1, LONG + 1))
    held: dict[int, set[int]] = {}
    for start in range(0, LONG, 100):
        player.sync(claim, *records[start : start + 100])
        series = metrics(player, job, names="loss", max_points=200)["series"]["loss"]
        width, finished = series["width"], (start + 100) // series["width"] * series["width"]
        last = start + 100  # always present, even as a bucket's only point
        inner = {step for step in series["step"] if 1 < step <= finished and step != last}
        assert held.get(width, set()) <= inner
        held[width] = inner
    assert len(held) > 3, "the bucket width must grow during the test"


def test_a_sparse_series_among_many_records_is_not_sampled(player: Player) -> None:
    job = player.submit()
    records: list[Record] = []
    for step in range(1, LONG):
        records.append(make_metric(len(records) + 1, step))
        if step % 50 == 0:
            records.append(evaluation(len(records) + 1, step, 1.0 + step))
    send(player, player.claim(), records)

    response = metrics(player, job, names="eval_loss", max_points=100)

    assert points_of(response, "eval_loss") == [(step, 1.0 + step) for step in range(50, LONG, 50)]
    assert response["series"]["eval_loss"]["sampled"] is False


def test_a_new_attempt_replaces_points_and_leaves_ghosts(
    player: Player, database: Database
) -> None:
    job = player.submit()
    first = player.claim()
    send(player, first, [*noisy(range(1, 21)), evaluation(21, 20, 1.9)])
    cursor = metrics(player, job)["cursor"]
    second = interrupt_and_claim(player, database, first)
    send(player, second, [evaluation(1, 10, 2.2), *(make_metric(n, 9 + n) for n in range(2, 6))])

    response = metrics(player, job, ghosts=True)

    assert [step for step, _ in points_of(response)] == list(range(1, 15))
    assert points_of(response, "eval_loss") == [(10, 2.2)]
    assert response["attempts"] == [
        {"number": 1, "first_step": 1, "last_step": 20},
        {"number": 2, "first_step": 11, "last_step": 14},
    ]
    (ghost,) = response["ghosts"]
    assert ghost["attempt"] == 1
    assert ghost["series"]["loss"]["step"] == list(range(11, 21))
    assert ghost["series"]["eval_loss"]["step"] == [20]
    page = metrics(player, job, since=cursor)
    assert page["rewind_to_step"] == 10
    assert page["ghosts"] is None
    assert [step for step, _ in points_of(page)] == [11, 12, 13, 14]


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_polling_yields_the_same_series_as_one_full_response(
    player: Player, database: Database, limit: int
) -> None:
    job = player.submit()
    cursor = metrics(player, job)["cursor"]
    held: dict[str, dict[int, float]] = {}

    def poll() -> None:
        nonlocal cursor
        while True:
            page = metrics(player, job, since=cursor, limit=limit)
            if page["rewind_to_step"] is not None:
                for series in held.values():
                    for step in [step for step in series if step > page["rewind_to_step"]]:
                        del series[step]
            for name, columns in page["series"].items():
                held.setdefault(name, {}).update(
                    zip(columns["step"], columns["value"], strict=True)
                )
            cursor = page["cursor"]
            if not page["has_more"]:
                return

    claim = player.claim()
    for steps in (range(1, 30), range(21, 40), range(11, 15), range(13, 45)):
        records = noisy(steps, seed=steps.start)
        player.sync(claim, *records[:5])
        poll()
        player.sync(
            claim,
            *records[5:],
            evaluation(len(records) + 1, steps.stop - 1, 1.0),
            samples=[{"seq": 1, "at": utc_now(), "values": {"sys.cpu_percent": 50.0}}],
        )
        poll()
        claim = interrupt_and_claim(player, database, claim)
    poll()

    response = metrics(player, job)
    for name in response["names"]:
        assert dict(points_of(response, name)) == held[name], name
    assert metrics(player, job, since=cursor)["series"] == {}


def test_unchanged_metrics_are_not_sent_again(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, make_metric(1))
    url = f"/v1/jobs/{job}/metrics?names=loss"
    tag = player.client.get(url).headers["etag"]

    again = player.client.get(url, headers={"If-None-Match": tag})
    other = player.client.get(url + "&max_points=10", headers={"If-None-Match": tag})
    player.sync(claim, make_metric(2))
    later = player.client.get(url, headers={"If-None-Match": tag})

    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
    assert len(later.json()["series"]["loss"]["step"]) == 2


def test_invalid_parameters_are_rejected_and_named(player: Player) -> None:
    job = player.submit()

    for query, param in (
        ("max_points=0", "max_points"),
        ("from_step=-1", "from_step"),
        ("since=nonsense", "since"),
        ("format=xml", "format"),
        ("limit=100000", "limit"),
    ):
        response = player.client.get(f"/v1/jobs/{job}/metrics?{query}")
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    for window in ("0", "x"):
        response = player.client.get(f"/v1/jobs/{job}/loss?window={window}")
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "window")
        assert error["message"].count("window") == 1
    with_id = player.client.get(f"/v1/jobs/{job}/stream", headers={"Last-Event-ID": "x"})
    assert (with_id.status_code, with_id.json()["error"]["code"]) == (400, "bad_cursor")
    for path in ("metrics", "metrics?format=csv", "loss?format=text", "stream"):
        assert player.client.get(f"/v1/jobs/job_none/{path}").status_code == 404


def test_a_parameter_that_has_no_effect_in_combination_with_another_is_rejected(
    player: Player,
) -> None:
    job = player.submit()

    for query, param in (
        ("loss?limit=2&max_points=10", "limit"),
        ("loss?window=auto&max_points=10", "max_points"),
        ("loss?window=5&since=MS4yLjAuMA", "since"),
        ("loss?format=text&window=5", "window"),
        ("metrics?format=csv&max_points=1000", "max_points"),
        ("metrics?format=ndjson&limit=5", "limit"),
        ("metrics?format=csv&ghosts=true", "ghosts"),
    ):
        for language, words in (("en", f"{param} has no effect"), ("zh", f"{param} 与 ")):
            response = player.client.get(
                f"/v1/jobs/{job}/{query}", headers={"Accept-Language": language}
            )
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (400, "not_together"), query
            assert error["param"] == param
            assert error["message"].startswith(words)


def test_unusable_metric_names_are_ignored(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    unusable = {"x" * 500: 1.0, "sys.mine": 2.0, "坏\0": 3.0}
    records: list[Record] = [
        MetricRecord(seq=n, at=utc_now(), step=n, values={"loss": 1.0} | unusable)
        for n in range(1, blocks.LENGTH + 10)
    ]
    send(player, claim, records)

    response = metrics(player, job, max_points=100)

    assert "sys.mine" not in response["names"]
    assert response["series"]["loss"]["points"] == blocks.LENGTH + 9


def test_machine_samples_are_returned_as_their_own_series(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    def sample(seq: int, **values: float) -> dict[str, Any]:
        named = {f"sys.{name}": value for name, value in values.items()}
        return {"seq": seq, "at": utc_now(), "values": named}

    player.sync(claim, samples=[sample(1, cpu_percent=10.0)])
    player.sync(claim, make_metric(1), make_metric(2))
    invalid = {"seq": 4, "at": utc_now(), "values": {"loss": 9.0, "sys.gpu_percent": float("nan")}}
    third = sample(3, cpu_percent=30.0, celsius=50.0, **{"gpu_percent.1": 70.0})
    for _ in range(2):  # a repeated sync stores nothing twice
        reply = player.sync(claim, samples=[third, invalid])
    version = player.job(job)["version"]

    assert reply.acked_seq == 2
    response = metrics(player, job)
    assert points_of(response, "sys.cpu_percent") == [(0, 10.0), (2, 30.0)]
    assert points_of(response, "sys.celsius") == [(2, 50.0)]
    assert points_of(response, "sys.gpu_percent.1") == [(2, 70.0)]
    assert "sys.gpu_percent" not in response["names"]
    assert [step for step, _ in points_of(response)] == [1, 2]
    assert player.finish(claim, "cancelled", last_seq=2).status_code == 200
    assert player.job(job)["version"] > version
