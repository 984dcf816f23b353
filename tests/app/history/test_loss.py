"""The loss history of a job: sampled points, window means, the text chart and unchanged responses."""

import math
import random

import pytest
from pydantic import TypeAdapter

from app.db.engine import Database
from app.history.schemas import LossPage, WindowPage
from contracts.summary import window_steps
from tests.app.history.recorded_job import evaluation, interrupt_and_claim, noisy, send
from tests.app.player import Player
from tests.factories import make_metric


@pytest.mark.parametrize("query", ["", "?max_points=10", "?window=1", "?format=csv"])
def test_an_unchanged_loss_history_is_not_sent_again(player: Player, query: str) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, make_metric(1))
    url = f"/v1/jobs/{job}/loss{query}"
    first = player.client.get(url)
    held = {"If-None-Match": first.headers["etag"]}

    again = player.client.get(url, headers=held)
    other = player.client.get(f"/v1/jobs/{job}/loss?limit=5", headers=held)
    player.sync(claim, make_metric(2))
    later = player.client.get(url, headers=held)

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert other.status_code == 200
    assert (later.status_code, later.text == first.text) == (200, False)


def test_the_loss_history_suggests_when_to_poll_again(player: Player) -> None:
    job = player.submit()
    waiting = player.get(f"/v1/jobs/{job}/loss")
    claim = player.claim()
    player.sync(claim, *(make_metric(n) for n in range(1, 6)))
    part, whole = (player.get(f"/v1/jobs/{job}/loss", limit=limit) for limit in (2, 5))
    means = player.get(f"/v1/jobs/{job}/loss", window=2)
    player.finish(claim, "cancelled")
    ended = player.get(f"/v1/jobs/{job}/loss")

    advice = [page["poll_after_seconds"] for page in (waiting, part, whole, means, ended)]

    assert advice == [5.0, 0.0, 1.0, 1.0, None]


def test_a_sampled_loss_history_keeps_all_values_of_each_point(player: Player) -> None:
    job = player.submit()
    send(player, player.claim(), noisy(range(1, 1501), at_700=9.0))

    page = player.get(f"/v1/jobs/{job}/loss", max_points=50)

    TypeAdapter(LossPage).validate_python(page, extra="forbid")
    assert len(page["data"]) <= 50
    assert (page["points"], page["sampled"]) == (1500, True)
    spike = next(point for point in page["data"] if point["step"] == 700)
    assert (spike["loss"], spike["learning_rate"], spike["grad_norm"]) == (9.0, 2e-4, 1.0)


def test_window_means_equal_those_of_the_report(player: Player, database: Database) -> None:
    job = player.submit()
    claim = player.claim()
    rng = random.Random(1)  # noqa: S311  # test data
    figures = [(rng.random() + 1, float(rng.randint(1, 500))) for _ in range(130)]
    records = [make_metric(n, n, loss=loss, tokens=t) for n, (loss, t) in enumerate(figures, 1)]
    player.sync(claim, *records[:100])
    claim = interrupt_and_claim(player, database, claim)
    rest = [make_metric(n, 50 + n, loss=lo, tokens=t) for n, (lo, t) in enumerate(figures[50:], 1)]
    player.sync(claim, *rest)

    def expected(width: int) -> list[tuple[int, float]]:
        windows = [figures[end - width : end] for end in range(width, 131, width)]
        return [
            (n * width, math.fsum(a * b for a, b in w) / math.fsum(b for _, b in w))
            for n, w in enumerate(windows, 1)
        ]

    for query, width in (("auto", window_steps(130)), (20, 20), (131, 131)):
        page = player.get(f"/v1/jobs/{job}/loss", window=query)
        TypeAdapter(WindowPage).validate_python(page, extra="forbid")
        assert page["window"] == width
        assert [(mean["step"], mean["loss"]) for mean in page["data"]] == [
            (step, pytest.approx(mean, rel=1e-12)) for step, mean in expected(width)
        ]


@pytest.mark.parametrize("nonfinite", [math.nan, math.inf, -math.inf])
def test_a_window_with_a_nonfinite_loss_has_no_mean_and_is_listed(
    player: Player, nonfinite: float
) -> None:
    job = player.submit()
    losses = [1.0, 2.0, nonfinite, 4.0, 5.0, 6.0, 7.0]
    records = [make_metric(n, n, loss=loss) for n, loss in enumerate(losses, 1)]
    player.sync(player.claim(), *records)

    page = player.get(f"/v1/jobs/{job}/loss", window=2)

    means = [(mean["step"], mean["loss"]) for mean in page["data"]]
    assert means == [(2, 1.5), (4, None), (6, 5.5)]
    assert page["nonfinite"] == [4]


def test_the_text_chart_fits_a_terminal_and_marks_evaluations(player: Player) -> None:
    job = player.submit()
    url = f"/v1/jobs/{job}/loss"
    empty = player.client.get(url, headers={"Accept": "text/plain"}).text
    records = [make_metric(n, loss=3.0 - n / 500) for n in range(1, 1001)]
    player.sync(player.claim(), *records[:999], evaluation(1000, 999, 2.5))

    response = player.client.get(url, headers={"Accept": "text/plain"})

    assert "no loss yet" in empty
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert response.text.isascii()
    assert "step" in lines[-2]
    assert lines[-2].split()[0] == "0" or lines[-2].split()[0] == "1"
    assert lines[-2].split()[-1] == "999"
    body = [line[11:] for line in lines[2:-3]]
    assert body[0].startswith("*")
    assert [row for row, line in enumerate(body) if line.endswith("E")] == [
        round((3.0 - 1 / 500 - 2.5) / (3.0 - 1 / 500 - (3.0 - 999 / 500)) * 17)
    ]
