import json
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Claim
from contracts.checkpoint import ResumePoint, is_whole
from contracts.protocol.wire import SHA256_HEADER
from contracts.record import encode_line
from contracts.run.run_dir import RunDir
from tests.factories import make_metric
from tests.worker.supervisor.builders import files_of, make_checkpoint, make_claim, place
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer, error_answer
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
    """Return the claim of an attempt that follows earlier ones, each given as (id, number, usable_to_step)."""
    known = [
        {"attempt_id": name, "number": number, "acked_seq": acked_seq, "usable_to_step": usable}
        for name, number, usable in earlier
    ]
    return make_claim(attempt_id="att_new", number=9, earlier=known, resume=list(resume))


def leave_run(home: Path, *steps: int, **placed: Any) -> RunDir:
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
    """Resume the claimed attempt and return (checkpoint, note codes, requested paths)."""
    notes = Notes()
    with (
        ScriptedServer(*(answers or (error_answer(404, "nothing"),))) as peer,
        Server(peer.url, "t", 5, 5, lambda _: None) as server,
    ):
        found = Resumer(claim, server, home, lambda: None, notes).resume(run_dir)
    return (
        found,
        [note.code for note in notes.pending()],
        [request.path for request in peer.requests],
    )


def step_of(run_dir: RunDir) -> int:
    return int(json.loads((run_dir.resume / "state.json").read_text())["step"])


def test_a_first_attempt_starts_from_the_first_step(home: Path, run_dir: RunDir) -> None:
    assert resume(make_claim(), home, run_dir) == (None, [], [])
    assert not run_dir.resume.exists()


def test_a_checkpoint_that_is_still_on_this_disk_is_not_downloaded(
    home: Path, run_dir: RunDir
) -> None:
    before = leave_run(home, 5, 10, train_revision="c0ffee")
    path = before.checkpoints / "step-00000010"
    claim = claim_after(("att_1", 1, None), resume=[stored(path, 10)])

    resumed, notes, paths = resume(claim, home, run_dir)

    assert (step_of(run_dir), notes, paths) == (10, ["resuming_local"], [])
    assert (resumed.attempt, resumed.origin.train_revision) == (1, "c0ffee")
    assert is_whole(run_dir.resume)


def test_a_checkpoint_that_another_worker_of_this_host_wrote_is_not_downloaded(
    home: Path, run_dir: RunDir
) -> None:
    before = leave_run(home.with_name("home-of-another-card"), 5, 10)
    path = before.checkpoints / "step-00000010"
    claim = claim_after(("att_1", 1, None), resume=[stored(path, 10)])

    resumed, notes, paths = resume(claim, home, run_dir)

    assert (step_of(run_dir), notes, paths) == (10, ["resuming_local"], [])
    assert resumed.path == path
    assert path.exists(), "the other worker keeps its files"


def test_a_run_directory_that_cannot_be_read_is_not_used(
    home: Path, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = leave_run(home.with_name("home-of-another-card"), 5)

    def deleted_now(_: Path) -> None:
        raise FileNotFoundError  # by its owner, between two steps of glob

    monkeypatch.setattr("worker.supervisor.placing.resume.list_checkpoints", deleted_now)
    resumed, notes, _ = resume(claim_after(("att_1", 1, None), acked_seq=5), home, run_dir)
    assert (resumed, notes) == (None, [])

    monkeypatch.undo()
    before.placed.unlink()
    resumed, notes, _ = resume(claim_after(("att_1", 1, None), acked_seq=5), home, run_dir)
    assert (resumed, notes) == (None, [])


def test_records_that_another_worker_of_this_host_could_not_send_are_uploaded(
    home: Path, run_dir: RunDir
) -> None:
    leave_run(home.with_name("home-of-another-card"), 5)
    claim = claim_after(("att_1", 1, None), acked_seq=3)

    _, notes, paths = resume(claim, home, run_dir, Answer(body=b'{"acked_seq": 5}'))

    assert (step_of(run_dir), notes, len(paths)) == (5, ["resuming_local"], 1)


def test_a_newer_checkpoint_on_the_server_is_downloaded(
    home: Path, run_dir: RunDir, tmp_path: Path
) -> None:
    leave_run(home, 10)
    newer = make_checkpoint(tmp_path / "elsewhere", 7)
    claim = claim_after(("att_1", 1, None), resume=[stored(newer, 7, attempt=2)])

    _, notes, paths = resume(claim, home, run_dir, *bodies(newer))

    assert (step_of(run_dir), notes) == (7, ["resuming_stored"]), (
        "the checkpoint of the newer attempt is used"
    )
    assert len(paths) == 3


def test_damaged_checkpoints_are_skipped_and_reported(
    home: Path, run_dir: RunDir, tmp_path: Path
) -> None:
    before = leave_run(home, 15)
    torn = before.checkpoints / "step-00000015"
    (torn / "tensors.safetensors").write_bytes(b"torn")
    corrupt = make_checkpoint(tmp_path / "elsewhere", 10)
    whole = make_checkpoint(tmp_path / "elsewhere", 5)
    claim = claim_after(("att_1", 1, None), resume=[stored(corrupt, 10), stored(whole, 5)])
    flipped = Answer(body=b"other bytes", headers={SHA256_HEADER: "0" * 64})

    answers = (flipped, flipped, flipped, *bodies(whole))
    _, notes, _ = resume(claim, home, run_dir, *answers)

    assert step_of(run_dir) == 5
    assert notes == ["checkpoint_damaged", "checkpoint_damaged", "resuming_stored"]


def test_a_job_starts_over_with_a_note_if_every_checkpoint_is_damaged(
    home: Path, run_dir: RunDir, tmp_path: Path
) -> None:
    path = make_checkpoint(tmp_path / "elsewhere", 10)
    claim = claim_after(("att_1", 1, None), resume=[stored(path, 10)])

    origin, notes, _ = resume(claim, home, run_dir, error_answer(404, "checkpoint_file_not_found"))

    assert (origin, notes) == (None, ["checkpoint_damaged", "starting_over"])
    assert not run_dir.resume.exists()


def test_a_checkpoint_replaced_by_a_later_attempt_is_ignored(home: Path, run_dir: RunDir) -> None:
    leave_run(home, 5, 10)

    resume(claim_after(("att_1", 1, 7)), home, run_dir)

    assert step_of(run_dir) == 5


def test_run_directories_of_unrelated_attempts_are_ignored(home: Path, run_dir: RunDir) -> None:
    make_checkpoint(place(RunDir(home / "att_other")).checkpoints, 10)

    assert resume(claim_after(("att_1", 1, None)), home, run_dir) == (None, [], [])


def test_records_left_by_an_earlier_attempt_are_uploaded(home: Path, run_dir: RunDir) -> None:
    before = place(RunDir(home / "att_1"))
    write_records(before, 1, 2, 3, rest=b'{"torn')
    notes = Notes()
    with (
        ScriptedServer(
            error_answer(503, "database_unavailable"), Answer(body=b'{"acked_seq": 3}')
        ) as peer,
        Server(peer.url, "t", 5, 5, lambda _: None) as server,
    ):
        claim = claim_after(("att_1", 1, None), acked_seq=1)
        Resumer(claim, server, home, lambda: None, notes).resume(run_dir)

    assert [request.path.split("/")[-3:] for request in peer.requests] == [
        ["earlier", "1", "records"]
    ] * 2
    assert [record["seq"] for record in json.loads(peer.requests[1].body)["records"]] == [2, 3]


ACCEPTED = Answer(body=b'{"acked_seq": 9}')


@pytest.mark.parametrize(
    ("last", "answer"),
    [(9, ACCEPTED), (20, ACCEPTED), (20, error_answer(400, "invalid_field"))],
    ids=["records are damaged", "only some are accepted", "records are rejected"],
)
def test_steps_whose_records_cannot_be_uploaded_are_repeated(
    home: Path, run_dir: RunDir, last: int, answer: Answer
) -> None:
    before = leave_run(home, 5, 20)
    write_records(before, *range(1, last + 1), rest=b"damaged\n")

    _, notes, paths = resume(claim_after(("att_1", 1, None), acked_seq=7), home, run_dir, answer)

    assert step_of(run_dir) == 5
    assert notes == ["checkpoint_unrecorded", "resuming_local"]
    assert len(paths) <= 2


def test_a_job_resumes_from_a_checkpoint_whose_own_record_was_never_written(
    home: Path, run_dir: RunDir
) -> None:
    leave_run(home, 5, 9)  # killed right after writing the checkpoint and the metrics of step 9

    resume(claim_after(("att_1", 1, None), acked_seq=7), home, run_dir, ACCEPTED)

    assert step_of(run_dir) == 9


def test_a_job_starts_over_with_a_note_if_no_record_can_be_uploaded(
    home: Path, run_dir: RunDir
) -> None:
    write_records(leave_run(home, 5), rest=b"damaged\n")

    origin, notes, _ = resume(claim_after(("att_1", 1, None), acked_seq=0), home, run_dir)

    assert (origin, notes) == (None, ["checkpoint_unrecorded", "starting_over"])
