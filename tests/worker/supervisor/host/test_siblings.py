"""Which cards a worker may borrow, and which locks it takes to do so."""

from pathlib import Path

import pytest

from contracts.attempt import Device, WorkerInfo
from tests.worker.supervisor.device_states import record_failed, record_passed
from worker.settings import Settings
from worker.supervisor.host.cards.gpu_lock import DeviceBusy, hold_device
from worker.supervisor.host.cards.held_cards import Loan
from worker.supervisor.host.identity import (
    describe_worker,
    slot_name,
    with_current_state,
    worker_home,
)
from worker.supervisor.host.siblings import (
    FLEET,
    Sibling,
    list_siblings,
    make_host_id,
    write_cards,
)

MODEL = "A100"


def make_sibling(directory: Path, uuid: str, model: str = MODEL) -> Sibling:
    return Sibling(
        uuid=uuid, model=model, lock=uuid, home=worker_home(directory / "work", f"w-{uuid}")
    )


def make_worker(uuid: str, host_id: str = "host", model: str = MODEL) -> WorkerInfo:
    device = Device(kind="cuda", uuid=uuid, name=model)
    return WorkerInfo(worker_id=f"w-{uuid}", device=device, host_id=host_id)


def found(directory: Path, worker: WorkerInfo) -> list[str]:
    return [each.uuid for each in list_siblings(directory / "locks", worker, slot_name(worker))]


@pytest.fixture
def cards(tmp_path: Path) -> list[Sibling]:
    (tmp_path / "locks").mkdir()
    cards = [make_sibling(tmp_path, f"GPU-{number}") for number in range(4)]
    for card in cards:
        card.home.mkdir(parents=True)
    write_cards(tmp_path / "locks", "host", cards)
    return cards


@pytest.mark.usefixtures("cards")
def test_a_worker_may_borrow_the_other_cards_of_its_parent_process(tmp_path: Path) -> None:
    assert found(tmp_path, make_worker("GPU-1")) == ["GPU-0", "GPU-2", "GPU-3"]


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize("host_id", ["", "another"])
def test_a_worker_that_another_process_started_borrows_nothing(
    tmp_path: Path, host_id: str
) -> None:
    assert found(tmp_path, make_worker("GPU-1", host_id)) == []


def test_cards_of_a_different_model_and_mig_instances_are_not_lent(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    cards = [
        make_sibling(tmp_path, "GPU-0"),
        make_sibling(tmp_path, "GPU-1"),
        make_sibling(tmp_path, "GPU-2", "T4"),
        make_sibling(tmp_path, "MIG-3"),
        make_sibling(tmp_path, "MIG-4"),
    ]
    write_cards(tmp_path / "locks", "host", cards)

    assert found(tmp_path, make_worker("GPU-0")) == ["GPU-1"]
    assert found(tmp_path, make_worker("GPU-2", model="T4")) == []
    assert found(tmp_path, make_worker("MIG-3")) == []


def test_a_list_that_is_missing_or_damaged_leaves_a_worker_with_its_own_card(
    tmp_path: Path,
) -> None:
    (tmp_path / "locks").mkdir()
    assert found(tmp_path, make_worker("GPU-1")) == []

    (tmp_path / "locks" / "GPU-1.cards").write_text('{"host_id": "host", "ca')
    assert found(tmp_path, make_worker("GPU-1")) == []


def test_a_worker_reports_its_host_and_how_many_cards_one_job_could_use(
    tmp_path: Path, cards: list[Sibling]
) -> None:
    settings = Settings(work_dir=tmp_path / "work", lock_dir=tmp_path / "locks")
    worker = make_worker("GPU-1")
    assert with_current_state(worker, settings).cards == 4

    record_passed(cards[0].home)
    record_failed(cards[2].home, "it is lost")
    assert with_current_state(worker, settings).cards == 3


def test_a_cpu_worker_offers_as_many_ranks_as_its_setting_names(tmp_path: Path) -> None:
    settings = Settings(work_dir=tmp_path, device="cpu", cpu_ranks=3)

    worker, other = (describe_worker(settings, {}) for _ in range(2))

    assert worker.cards == 3
    assert worker.host_id not in {"", other.host_id}, "it cannot lend its ranks to another worker"
    assert describe_worker(settings, {FLEET: "host-1"}).host_id == "host-1"


def test_the_id_of_a_host_depends_on_its_cards_and_work_directory_but_not_on_their_order() -> None:
    a, b = (Device(kind="cuda", uuid=uuid) for uuid in ("GPU-1", "GPU-2"))

    assert make_host_id("x", [a, b]) == make_host_id("x", [b, a])
    assert len({make_host_id("x", [a, b]), make_host_id("x", [a]), make_host_id("y", [a, b])}) == 3


def test_a_loan_contains_the_idle_cards_that_have_not_failed_until_they_are_returned(
    tmp_path: Path, cards: list[Sibling]
) -> None:
    locks = tmp_path / "locks"
    record_failed(cards[0].home, "it is lost")
    with hold_device(locks, "GPU-1"), Loan.borrow(locks, cards) as loan:
        assert [card.device.uuid for card in loan.cards] == ["GPU-2", "GPU-3"]
        assert [card.home for card in loan.cards] == [cards[2].home, cards[3].home]
        with hold_device(locks, "GPU-0", patience_seconds=0):
            pass  # its worker can take it for its next check

        loan.keep(1)
        assert [card.device.uuid for card in loan.cards] == ["GPU-2"]
        with hold_device(locks, "GPU-3", patience_seconds=0):
            pass
        with pytest.raises(DeviceBusy), hold_device(locks, "GPU-2", patience_seconds=0):
            pass
    for name in ("GPU-1", "GPU-2"):
        with hold_device(locks, name, patience_seconds=0):
            pass


def test_a_loan_keeps_the_cards_that_the_server_has_chosen(
    tmp_path: Path, cards: list[Sibling]
) -> None:
    locks = tmp_path / "locks"
    with Loan.borrow(locks, cards[1:]) as loan:
        loan.keep_only(["GPU-0", "GPU-3"])

        assert [card.device.uuid for card in loan.cards] == ["GPU-3"]
        with hold_device(locks, "GPU-1", patience_seconds=0):
            pass
