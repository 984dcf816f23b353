import json
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Claim
from contracts.checkpoint import ResumePoint, is_whole
from contracts.record import encode_line
from contracts.run_dir import RunDir
from contracts.wire import SHA256_HEADER
from tests.factories import make_metric
from tests.worker.supervisor.builders import files_of, make_checkpoint, make_claim, place
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer, refusal
from worker.supervisor.placing.resume import Resumer
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.server.client import Server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run_dir(home: Path) -> RunDir:
    return place(RunDir(home / "att_new"))


def claim_after(
    *earlier: tuple[str, int, int | None], resume: Any = (), acked_seq: int = 100
) -> Claim:
    """Return the claim of an attempt after others: (id, number, usable_to_step) of each."""
    known = [
        {"attempt_id": name, "number": number, "acked_seq": acked_seq, "usable_to_step": usable}
        for name, number, usable in earlier
    ]
    return make_claim(attempt_id="att_new", number=9, earlier=known, resume=list(resume))


def left(home: Path, *steps: int, **placed: Any) -> RunDir:
    """Create the run directory of att_1 with checkpoints at these steps, and a record of each step up to the last."""
    directory = place(RunDir(home / "att_1"), **placed)
    for step in steps:
        make_checkpoint(directory.checkpoints, step)
    write_records(directory, *range(1, max(steps) + 1))
    return directory


def write_records(directory: RunDir, *seqs: int, rest: bytes = b"") -> None:
    lines = [encode_line(make_metric(seq)) for seq in seqs]
    directory.records.write_bytes(b"".join(lines) + rest)


def stored(path: Path, step: int, attempt: int = 1) -> ResumePoint:
    return ResumePoint(
        checkpoint_id="ckpt_1", attempt=attempt, step=step, files=files_of(path), origin={}
    )


def bodies(path: Path) -> list[Answer]:
    return [Answer(body=(path / file.name).read_bytes()) for file in files_of(path)]


def resume(claim: Claim, home: Path, run_dir: RunDir, *answers: Answer) -> tuple[Any, ...]:
    """Return (checkpoint, codes of the notes, requested paths)."""
    notes = Notes()
    with (
        ScriptedServer(*(answers or (refusal(404, "nothing"),))) as peer,
        Server(peer.url, "t", 5, 5, lambda _: None) as server,
    ):
        found = Resumer(claim, server, home, lambda: None, notes).resume(run_dir)
    return found, [note.code for note in notes.pending()], [a.path for a in peer.asked]


def step_of(run_dir: RunDir) -> int:
    return int(json.loads((run_dir.resume / "state.json").read_text())["step"])


def test_a_first_attempt_starts_from_the_first_step(home: Path, run_dir: RunDir) -> None:
    assert resume(make_claim(), home, run_dir) == (None, [], [])
    assert not run_dir.resume.exists()


def test_what_is_still_on_this_disk_is_not_fetched(home: Path, run_dir: RunDir) -> None:
    before = left(home, 5, 10, train_revision="c0ffee")
    path = before.checkpoints / "step-00000010"
    claim = claim_after(("att_1", 1, None), resume=[stored(path, 10)])

    resumed, told, asked = resume(claim, home, run_dir)

    assert (step_of(run_dir), told, asked) == (10, ["resuming_local"], [])
    assert (resumed.attempt, resumed.origin.train_revision) == (1, "c0ffee")
    assert is_whole(run_dir.resume)


def test_a_newer_one_of_the_servers_is_fetched(home: Path, run_dir: RunDir, tmp_path: Path) -> None:
    left(home, 10)
    newer = make_checkpoint(tmp_path / "elsewhere", 7)
    claim = claim_after(("att_1", 1, None), resume=[stored(newer, 7, attempt=2)])

    _, told, asked = resume(claim, home, run_dir, *bodies(newer))

    assert (step_of(run_dir), told) == (7, ["resuming_stored"]), "of a newer attempt"
    assert len(asked) == 3


def test_damaged_ones_are_passed_over_and_told(home: Path, run_dir: RunDir, tmp_path: Path) -> None:
    before = left(home, 15)
    torn = before.checkpoints / "step-00000015"
    (torn / "tensors.safetensors").write_bytes(b"torn")
    gone = make_checkpoint(tmp_path / "elsewhere", 10)
    whole = make_checkpoint(tmp_path / "elsewhere", 5)
    claim = claim_after(("att_1", 1, None), resume=[stored(gone, 10), stored(whole, 5)])
    flipped = Answer(body=b"other bytes", headers={SHA256_HEADER: "0" * 64})

    answers = (flipped, flipped, flipped, *bodies(whole))
    _, told, _ = resume(claim, home, run_dir, *answers)

    assert step_of(run_dir) == 5
    assert told == ["checkpoint_damaged", "checkpoint_damaged", "resuming_stored"]


def test_with_every_one_damaged_it_starts_over_and_says_so(
    home: Path, run_dir: RunDir, tmp_path: Path
) -> None:
    path = make_checkpoint(tmp_path / "elsewhere", 10)
    claim = claim_after(("att_1", 1, None), resume=[stored(path, 10)])

    origin, told, _ = resume(claim, home, run_dir, refusal(404, "checkpoint_file_not_found"))

    assert (origin, told) == (None, ["checkpoint_damaged", "starting_over"])
    assert not run_dir.resume.exists()


def test_what_a_later_attempt_has_replaced_is_left(home: Path, run_dir: RunDir) -> None:
    left(home, 5, 10)

    resume(claim_after(("att_1", 1, 7)), home, run_dir)

    assert step_of(run_dir) == 5


def test_another_jobs_directory_is_none_of_ours(home: Path, run_dir: RunDir) -> None:
    make_checkpoint(place(RunDir(home / "att_other")).checkpoints, 10)

    assert resume(claim_after(("att_1", 1, None)), home, run_dir) == (None, [], [])


def test_records_that_an_earlier_attempt_left_are_handed_in(home: Path, run_dir: RunDir) -> None:
    before = place(RunDir(home / "att_1"))
    write_records(before, 1, 2, 3, rest=b'{"torn')
    notes = Notes()
    with (
        ScriptedServer(refusal(503, "away"), Answer(body=b'{"acked_seq": 3}')) as peer,
        Server(peer.url, "t", 5, 5, lambda _: None) as server,
    ):
        claim = claim_after(("att_1", 1, None), acked_seq=1)
        Resumer(claim, server, home, lambda: None, notes).resume(run_dir)

    assert [asked.path.split("/")[-3:] for asked in peer.asked] == [["earlier", "1", "records"]] * 2
    assert [record["seq"] for record in json.loads(peer.asked[1].body)["records"]] == [2, 3]


TAKEN = Answer(body=b'{"acked_seq": 9}')


@pytest.mark.parametrize(
    ("last", "answer"),
    [(9, TAKEN), (20, TAKEN), (20, refusal(400, "invalid_field"))],
    ids=["the records break off", "not all are taken", "they are refused"],
)
def test_steps_that_cannot_be_handed_in_are_trained_again(
    home: Path, run_dir: RunDir, last: int, answer: Answer
) -> None:
    before = left(home, 5, 20)
    write_records(before, *range(1, last + 1), rest=b"damaged\n")

    _, told, asked = resume(claim_after(("att_1", 1, None), acked_seq=7), home, run_dir, answer)

    assert step_of(run_dir) == 5
    assert told == ["checkpoint_unrecorded", "resuming_local"]
    assert len(asked) <= 2


def test_a_checkpoint_whose_own_record_was_never_written_is_gone_on_from(
    home: Path, run_dir: RunDir
) -> None:
    left(home, 5, 9)  # killed right after step 9, its checkpoint and its metrics

    resume(claim_after(("att_1", 1, None), acked_seq=7), home, run_dir, TAKEN)

    assert step_of(run_dir) == 9


def test_with_no_step_handed_in_it_starts_over_and_says_so(home: Path, run_dir: RunDir) -> None:
    write_records(left(home, 5), rest=b"damaged\n")

    origin, told, _ = resume(claim_after(("att_1", 1, None), acked_seq=0), home, run_dir)

    assert (origin, told) == (None, ["checkpoint_unrecorded", "starting_over"])
