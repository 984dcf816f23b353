"""The workers of a host take turns to claim. One that does not return its turn must not block the others."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.supervisor.host.cards.gpu_lock import try_lock
from worker.supervisor.host.claim_turn import ClaimTurn, find_stuck

LONGEST_SECONDS = 70.0


class Time:
    """A clock that advances only while a worker waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> float:
        return self.now


def make_turn(path: Path | None, worker: str, time: Time) -> ClaimTurn:
    return ClaimTurn(path, worker, LONGEST_SECONDS, time.wait, time.read)


def test_only_one_worker_of_a_host_has_the_turn(tmp_path: Path) -> None:
    path = tmp_path / "host.claim"

    class TurnIsTaken(Exception):
        pass

    def wait(_: float) -> None:
        raise TurnIsTaken

    with (
        ClaimTurn(path, "first", LONGEST_SECONDS) as first,
        ClaimTurn(path, "second", LONGEST_SECONDS, wait) as second,
    ):
        assert first.take()
        assert first.take()
        with pytest.raises(TurnIsTaken):
            second.take()
        first.give_back()
        assert second.take()
    assert try_lock(path) is not None


def test_a_worker_without_siblings_has_no_turn_and_borrows_nothing() -> None:
    with make_turn(None, "alone", Time()) as turn:
        assert not turn.take()
        turn.give_back()


def test_a_worker_that_keeps_its_turn_is_named_and_the_others_claim_without_it(
    tmp_path: Path,
) -> None:
    path, time = tmp_path / "host.claim", Time()
    with (
        make_turn(path, "stuck", time) as stuck,
        make_turn(path, "second", time) as second,
        make_turn(path, "third", time) as third,
    ):
        assert stuck.take()
        began = time.now
        with capture_logs() as logs:
            assert not second.take()
        assert LONGEST_SECONDS <= time.now - began < LONGEST_SECONDS + 1
        assert [entry["holder"] for entry in logs] == ["stuck"]

        began = time.now
        assert not third.take()
        assert time.now - began < 2, "the holder has recorded when its turn began"

        stuck.give_back()
        assert second.take()


def test_a_worker_waits_for_any_number_of_workers_that_return_their_turns_in_time(
    tmp_path: Path,
) -> None:
    path, time = tmp_path / "host.claim", Time()
    turns = [make_turn(path, f"w{number}", time) for number in range(4)]
    last = ClaimTurn(path, "last", LONGEST_SECONDS, lambda _: hand_over(), time.read)

    def hand_over() -> None:
        """Let 60 s pass, then give the turn to the next worker."""
        time.now += 60
        turns.pop(0).give_back()
        if turns:
            assert turns[0].take()

    assert turns[0].take()
    with last:
        assert last.take()
    assert turns == []


def test_the_next_worker_is_not_considered_stuck_because_a_killed_worker_left_its_name(
    tmp_path: Path,
) -> None:
    path, time = tmp_path / "host.claim", Time()
    with make_turn(path, "killed", time) as killed:
        assert killed.take()
        left = path.read_bytes()
    path.write_bytes(left)
    time.now += 2 * LONGEST_SECONDS

    assert find_stuck(path, LONGEST_SECONDS, time.now) is None

    path.write_bytes(left)
    locked = try_lock(path)  # held by a worker that has not written its name yet
    assert locked is not None
    with make_turn(path, "waiting", time) as waiting, make_turn(path, "next", time) as later:
        waiting._wait = lambda _: next_writes()

        def next_writes() -> None:
            later._write_name(locked)
            waiting._wait = time.wait

        began = time.now
        assert not waiting.take()
        assert time.now - began >= LONGEST_SECONDS
    found = find_stuck(path, LONGEST_SECONDS, time.now)
    assert found is not None
    assert found.worker == "next"
