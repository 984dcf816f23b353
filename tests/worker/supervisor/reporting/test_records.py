from pathlib import Path

from contracts.record import encode_line
from tests.factories import make_metric
from worker.supervisor.reporting.records import BATCH, Follow


def _seqs(follow: Follow) -> list[int]:
    return [record.seq for record in follow.batch()]


def _write(path: Path, first: int, last: int) -> None:
    with path.open("ab") as file:
        for seq in range(first, last + 1):
            file.write(encode_line(make_metric(seq)))


def test_nothing_is_read_before_the_file_exists(tmp_path: Path) -> None:
    assert Follow(tmp_path / "records.jsonl").batch() == []


def test_records_are_returned_again_until_they_are_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 3)
    follow = Follow(path)

    assert _seqs(follow) == [1, 2, 3]
    assert _seqs(follow) == [1, 2, 3]
    follow.acknowledge(2)
    _write(path, 4, 4)
    assert _seqs(follow) == [3, 4]
    assert follow.last_seq == 4


def test_a_batch_is_limited_and_the_next_one_contains_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, BATCH + 7)
    follow = Follow(path)

    assert len(follow.batch()) == BATCH
    follow.acknowledge(BATCH)
    assert _seqs(follow) == list(range(BATCH + 1, BATCH + 8))


def test_records_after_the_end_are_not_read_although_another_program_appends_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 3)
    follow = Follow(path, end=path.stat().st_size)
    _write(path, 4, 6)

    assert _seqs(follow) == [1, 2, 3]
    follow.acknowledge(3)
    _write(path, 7, 7)
    assert _seqs(follow) == []
    assert follow.damage is None


def test_an_incomplete_last_line_is_read_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 1)
    line = encode_line(make_metric(2))
    with path.open("ab") as file:
        file.write(line[:20])
    follow = Follow(path)

    assert _seqs(follow) == [1]
    with path.open("ab") as file:
        file.write(line[20:])
    assert _seqs(follow) == [1, 2]
    assert follow.damage is None


def test_reading_stops_at_a_damaged_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 1)
    with path.open("ab") as file:
        file.write(encode_line(make_metric(2)).replace(b'"step":2', b'"step":9'))
    _write(path, 3, 3)
    follow = Follow(path)

    assert _seqs(follow) == [1]
    assert follow.last_seq == 1
    assert follow.damage is not None


def test_reading_stops_at_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 1)
    _write(path, 3, 3)
    follow = Follow(path)

    assert _seqs(follow) == [1]
    assert follow.damage == "record 3 follows record 1"


def test_records_that_the_server_lost_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    _write(path, 1, 5)
    follow = Follow(path)
    follow.batch()
    follow.acknowledge(5)

    follow.acknowledge(2)

    assert _seqs(follow) == [3, 4, 5]
