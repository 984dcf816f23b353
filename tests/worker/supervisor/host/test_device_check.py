from pathlib import Path

from contracts.attempt import Device, WorkerInfo
from tests.worker.supervisor.device_states import record_failed, record_passed
from worker.settings import Settings
from worker.supervisor.host.device_check import read_check
from worker.supervisor.host.identity import with_current_state, worker_home


def test_the_state_counts_the_passed_checks_and_keeps_the_time_of_the_last_change(
    tmp_path: Path,
) -> None:
    assert read_check(tmp_path) is None

    record_passed(tmp_path)
    record_passed(tmp_path)
    passed = read_check(tmp_path)
    record_failed(tmp_path, "it broke")
    broken = read_check(tmp_path)
    record_failed(tmp_path, "it is still broken")
    still_broken = read_check(tmp_path)
    record_passed(tmp_path)
    repaired = read_check(tmp_path)

    assert passed is not None
    assert broken is not None
    assert still_broken is not None
    assert repaired is not None
    assert (passed.passed, passed.count, passed.reason) == (True, 2, "")
    assert (broken.passed, broken.count, broken.reason) == (False, 2, "it broke")
    assert (still_broken.reason, still_broken.since) == ("it is still broken", broken.since)
    assert (repaired.passed, repaired.count, repaired.reason) == (True, 3, "")
    assert repaired.since is not None
    assert broken.since is not None
    assert repaired.since > broken.since


def test_a_long_reason_is_shortened_and_a_damaged_file_counts_as_no_check(tmp_path: Path) -> None:
    record_failed(tmp_path, "x" * 10_000 + "the end")
    check = read_check(tmp_path)
    assert check is not None
    assert len(check.reason) == 2000
    assert check.reason.endswith("the end")

    for path in tmp_path.iterdir():
        path.write_text("{")
    assert read_check(tmp_path) is None


def test_a_worker_announces_the_state_of_a_gpu_but_not_of_a_cpu(tmp_path: Path) -> None:
    settings = Settings(work_dir=tmp_path)
    home = worker_home(tmp_path, "w")
    home.mkdir(parents=True)
    record_failed(home, "it broke")

    gpu = WorkerInfo(worker_id="w", device=Device(kind="cuda", uuid="GPU-1"))
    announced = with_current_state(gpu, settings).device_check
    assert announced is not None
    assert announced.reason == "it broke"
    assert with_current_state(WorkerInfo(worker_id="w"), settings).device_check is None
