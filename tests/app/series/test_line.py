"""A job's loss history follows the checkpoints that attempts resumed from, even if disconnected attempts kept training."""

from typing import Any

import pytest

from contracts.attempt import Claim, SystemSample
from contracts.base import utc_now
from contracts.job import Phase
from contracts.record import EvalRecord, PhaseRecord, Record
from tests.app.player import Player
from tests.factories import make_metric


def steps_of(
    first: int, last: int, resumed_from: int | None = None, *, loss: float
) -> list[Record]:
    """Return the records of an attempt that resumed from another attempt's checkpoint and trained these steps."""
    resumed_step = None if resumed_from is None else first - 1
    phase = PhaseRecord(
        seq=1,
        at=utc_now(),
        phase=Phase.TRAINING,
        resumed_from=resumed_from,
        resumed_step=resumed_step,
    )
    steps = range(first, last + 1)
    return [phase, *(make_metric(seq, step, loss=loss) for seq, step in enumerate(steps, start=2))]


def next_claim(player: Player, claim: Claim) -> Claim:
    assert player.finish(claim, "interrupted").status_code == 200
    return player.claim()


def line(player: Player, job: str) -> list[tuple[int, float]]:
    page = player.get(f"/v1/jobs/{job}/loss")
    return [(point["step"], point["loss"]) for point in page["data"]]


def plotted(player: Player, job: str) -> list[tuple[int, float]]:
    loss = player.get(f"/v1/jobs/{job}/metrics", names="loss")["series"]["loss"]
    return list(zip(loss["step"], loss["value"], strict=True))


def spans(*parts: tuple[int, int, float]) -> list[tuple[int, float]]:
    return [(step, loss) for first, last, loss in parts for step in range(first, last + 1)]


class Reader:
    """Follows a job's history by polling one of the two routes for new points."""

    def __init__(self, player: Player, job: str, route: str) -> None:
        self._player, self._route = player, f"/v1/jobs/{job}/{route}"
        self._cursor = player.get(self._route)["cursor"]
        self._held: dict[int, float] = {}

    def read(self) -> list[tuple[int, float]]:
        while True:
            page = self._player.get(self._route, since=self._cursor, limit=7)
            if page["rewind_to_step"] is not None:
                self._held = {s: v for s, v in self._held.items() if s <= page["rewind_to_step"]}
            self._held.update(_points(page))
            self._cursor = page["cursor"]
            if not page["has_more"]:
                return sorted(self._held.items())


def _points(page: Any) -> list[tuple[int, float]]:
    if page["object"] == "list":
        return [(point["step"], point["loss"]) for point in page["data"]]
    loss = page["series"].get("loss", {"step": [], "value": []})
    return list(zip(loss["step"], loss["value"], strict=True))


@pytest.mark.parametrize("route", ["loss", "metrics"])
def test_records_uploaded_late_leave_no_gap_in_the_history(player: Player, route: str) -> None:
    job = player.submit()
    reader = Reader(player, job, route)
    first, records = player.claim(), steps_of(1, 30, loss=1.0)
    player.sync(first, *records[:21])  # it trains up to step 30 while disconnected
    reader.read()
    second = next_claim(player, first)  # resumes from step 15 and is disconnected before it syncs
    third = next_claim(player, second)  # resumes from step 30 on the host of the first attempt
    assert player.post_earlier(third, 1, *records[21:]).status_code == 200
    player.sync(third, *steps_of(31, 40, 1, loss=3.0))
    before = reader.read()
    fourth = next_claim(player, third)
    assert player.post_earlier(fourth, 2, *steps_of(16, 25, 1, loss=2.0)).status_code == 200
    player.sync(fourth, *steps_of(41, 45, 3, loss=4.0))

    expected = spans((1, 30, 1.0), (31, 40, 3.0))
    assert before == expected
    expected += spans((41, 45, 4.0))
    assert line(player, job) == plotted(player, job) == reader.read() == expected
    (ghost,) = player.get(f"/v1/jobs/{job}/metrics", names="loss", ghosts=True)["ghosts"]
    assert (ghost["attempt"], ghost["series"]["loss"]["step"]) == (2, list(range(16, 26)))


@pytest.mark.parametrize("route", ["loss", "metrics"])
def test_a_reader_rewinds_when_points_that_it_has_read_become_ghosts(
    player: Player, route: str
) -> None:
    job = player.submit()
    reader = Reader(player, job, route)
    first = player.claim()
    player.sync(first, *steps_of(1, 20, loss=1.0))
    reader.read()
    second = next_claim(player, first)  # trains steps 11 to 14 while disconnected
    third = next_claim(player, second)  # resumes from step 20 and trains offline up to step 24
    fourth = next_claim(player, third)
    assert player.post_earlier(fourth, 2, *steps_of(11, 14, 1, loss=2.0)).status_code == 200
    assert reader.read() == spans((1, 10, 1.0), (11, 14, 2.0))
    fifth = next_claim(player, fourth)
    assert player.post_earlier(fifth, 3, *steps_of(21, 24, 1, loss=3.0)).status_code == 200

    expected = spans((1, 20, 1.0), (21, 24, 3.0))
    assert line(player, job) == plotted(player, job) == reader.read() == expected


def test_only_steps_in_the_current_history_can_be_resumed_from(player: Player) -> None:
    job = player.submit()
    first = player.claim()
    player.sync(first, *steps_of(1, 20, loss=1.0))
    second = next_claim(player, first)
    third = next_claim(player, second)
    player.sync(third, *steps_of(21, 30, 1, loss=3.0))
    fourth = next_claim(player, third)
    assert player.post_earlier(fourth, 2, *steps_of(11, 14, 1, loss=2.0)).status_code == 200
    fifth = next_claim(player, fourth)

    assert player.job(job)["attempt"] == 5
    usable = [(each.number, each.usable_to_step) for each in fifth.earlier]
    assert usable == [(4, None), (3, None), (2, 0), (1, 20)]


def test_the_last_evaluation_may_come_from_an_attempt_with_no_steps_left_to_train(
    player: Player,
) -> None:
    job = player.submit()
    reader = Reader(player, job, "metrics")
    first = player.claim()
    player.sync(first, *steps_of(1, 20, loss=1.0))
    reader.read()
    second = next_claim(player, first)
    phase = PhaseRecord(
        seq=1, at=utc_now(), phase=Phase.EVALUATING, resumed_from=1, resumed_step=20
    )
    samples = [SystemSample(seq=1, at=utc_now(), values={"sys.cpu_percent": 7.0})]
    evaluation = EvalRecord(seq=2, at=utc_now(), step=20, loss=1.5, tokens=9)
    player.sync(second, phase, evaluation, samples=samples)
    assert reader.read() == spans((1, 20, 1.0))
    third = next_claim(player, second)
    player.sync(third, phase, evaluation.model_copy(update={"loss": 1.6}), samples=samples)
    player.succeed(third, 2)

    series = player.get(f"/v1/jobs/{job}/metrics")["series"]

    assert (series["eval_loss"]["step"], series["eval_loss"]["value"]) == ([20], [1.6])
    assert series["sys.cpu_percent"]["step"] == [20]
    assert reader.read() == plotted(player, job) == spans((1, 20, 1.0))
    csv = player.client.get(f"/v1/jobs/{job}/metrics?format=csv&names=eval_loss").text
    assert [line.split(",")[:2] for line in csv.splitlines()[1:]] == [["20", "3"]]
