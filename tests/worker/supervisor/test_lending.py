"""Workers of one host that lend each other their cards, as real processes. The jobs do not train."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.job import JobSpec
from tests.e2e.conftest import spec_of_job, tiny_rows
from tests.programs.processes import find_processes
from tests.programs.waiting import wait_for
from tests.tiny_model import make_tiny_qwen2
from tests.worker.supervisor.device_states import record_failed
from tests.worker.supervisor.fake_host import FakeHost
from worker.supervisor.host.cards.gpu_lock import try_lock


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., FakeHost]]:
    hosts: list[FakeHost] = []

    def make(cards: int, **settings: str) -> FakeHost:
        hosts.append(FakeHost(tmp_path, cards, **settings))
        return hosts[0]

    yield make
    for host in hosts:
        host.__exit__()


@pytest.fixture
def host(make_host: Callable[..., FakeHost]) -> FakeHost:
    return make_host(4)


def is_free(host: FakeHost, uuid: str) -> bool:
    lock = try_lock(host.lock_dir / f"{uuid}.lock")
    if lock is not None:
        os.close(lock)
    return lock is not None


def free_cards(host: FakeHost) -> list[str]:
    return [uuid for uuid in host.uuids if is_free(host, uuid)]


def test_a_worker_offers_all_idle_cards_and_keeps_those_that_its_job_needs(host: FakeHost) -> None:
    seen: list[list[str]] = []
    host.server.before_claim = lambda: seen.append(free_cards(host))
    host.server.jobs = [("job-3", 3)]
    worker = host.start("GPU-1")

    worker.ring()
    assert host.wait_for_start("GPU-1", "job-3") == ["GPU-1", "GPU-0", "GPU-2"]

    assert seen == [[]], "it holds all four locks while it claims"
    assert free_cards(host) == ["GPU-3"]
    [claim] = host.server.claims
    assert (claim.free_cards, claim.worker.cards, claim.worker.host_id) == (4, 4, "host")
    assert claim.cards_held == ["GPU-1", "GPU-0", "GPU-2", "GPU-3"]
    host.finish("GPU-1")
    worker.wait_for("ended 1")
    wait_for(lambda: free_cards(host) == host.uuids, host.logs)


def test_a_job_on_one_gpu_and_a_claim_without_a_job_borrow_nothing(host: FakeHost) -> None:
    host.server.jobs = [("job-1", 1)]
    worker = host.start("GPU-0")
    worker.ring()

    assert host.wait_for_start("GPU-0", "job-1") == ["GPU-0"]
    assert free_cards(host) == ["GPU-1", "GPU-2", "GPU-3"]

    host.finish("GPU-0")
    worker.wait_for("ended 1")
    assert [claim.free_cards for claim in host.server.claims] == [4, 4]
    assert free_cards(host) == host.uuids


def test_two_workers_that_claim_at_the_same_time_see_the_cards_one_after_the_other(
    host: FakeHost,
) -> None:
    host.server.jobs = [("job-a", 2), ("job-b", 2)]
    workers = [host.start(uuid) for uuid in host.uuids]
    for worker in workers:
        worker.ring()
    wait_for(lambda: len(list(host.work_dir.rglob("started"))) == 2, host.logs)

    used = [path.read_text().split(",") for path in host.work_dir.rglob("started")]
    assert sorted(used[0] + used[1]) == host.uuids


def test_if_no_claim_gets_a_job_the_last_one_offers_every_card(host: FakeHost) -> None:
    host.server.jobs = [("job-5", 5)]
    workers = [host.start(uuid) for uuid in host.uuids]
    for worker in workers:
        worker.ring()
    for worker in workers:
        worker.wait_for("ended 0")

    # A server that waits for all cards of the host gets them from one of these claims.
    assert len(host.server.claims) == 4
    assert host.server.claims[-1].free_cards == 4


def test_a_card_that_has_failed_is_not_borrowed(host: FakeHost) -> None:
    host.home("GPU-2").mkdir(parents=True)
    record_failed(host.home("GPU-2"), "it is lost")
    host.server.jobs = [("job-3", 3)]
    worker = host.start("GPU-0")
    worker.ring()

    assert host.wait_for_start("GPU-0", "job-3") == ["GPU-0", "GPU-1", "GPU-3"]
    assert (host.server.claims[0].free_cards, host.server.claims[0].worker.cards) == (3, 3)
    assert free_cards(host) == ["GPU-2"]


def test_a_worker_whose_card_is_borrowed_passes_its_ring_on_once_and_claims_when_it_is_free(
    host: FakeHost,
) -> None:
    host.server.jobs = [("job-4", 4)]
    first, second = host.start("GPU-0"), host.start("GPU-1")
    first.ring()
    host.wait_for_start("GPU-0", "job-4")

    second.ring()
    second.wait_for("passes the ring on")
    assert len(host.server.claims) == 1
    host.server.jobs = [("job-1", 1)]
    # The first worker must not take the job before the second one, so it stops after its attempt.
    first.send(signal.SIGTERM)
    host.finish("GPU-0")

    assert host.wait_for_start("GPU-1", "job-1") == ["GPU-1"]
    assert second.count("passes the ring on") == 1


def test_a_worker_that_waits_for_its_card_stops_immediately(host: FakeHost) -> None:
    host.server.jobs = [("job-4", 4)]
    first, second = host.start("GPU-0"), host.start("GPU-1")
    first.ring()
    host.wait_for_start("GPU-0", "job-4")
    second.ring()
    second.wait_for("passes the ring on")

    second.send(signal.SIGTERM)

    second.wait_for("ended 0")
    assert free_cards(host) == [], "the attempt continues"


def test_a_borrowed_card_that_breaks_stops_its_own_worker_and_no_other(host: FakeHost) -> None:
    first, third = host.start("GPU-0"), host.start("GPU-2")
    third.ring()  # it checks its card and finds that it works
    third.wait_for("ended 0")
    host.server.jobs = [("job-4", 4)]
    first.ring()
    host.wait_for_start("GPU-0", "job-4")
    (host.home("GPU-2") / "broken").touch()
    host.finish("GPU-0", "failed", failure={"reason": "crashed", "evidence": {"rank": 2}})
    first.wait_for("ended 1")

    failure = host.server.finished["job-4"]["failure"]
    assert failure["reason"] == "device_failed"
    assert failure["evidence"] == {"rank": 2, "card": "GPU-2"}
    assert host.server.claims[-1].worker.cards == 3
    assert host.server.claims[-1].free_cards == 3
    third.ring()
    third.wait_for("ended 0", 2)
    assert host.server.hellos[-1]["worker_id"] == "w-GPU-2"
    assert "the card is broken" in host.server.hellos[-1]["device_check"]["reason"]


def test_killing_a_supervisor_ends_every_rank_and_frees_all_cards(
    host: FakeHost,
) -> None:
    host.server.jobs = [("job-4", 4)]
    worker = host.start("GPU-3")
    worker.ring()
    host.wait_for_start("GPU-3", "job-4")
    place = host.run_dir("GPU-3", "job-4").path
    wait_for(lambda: len(find_processes("no mark", place)) == 4, host.logs)

    worker.kill()
    # The small training program asks for no parent-death signal, so it is an orphan. The next worker kills it.
    assert free_cards(host) == []
    other = host.start("GPU-0")
    other.ring()

    wait_for(lambda: free_cards(host) == host.uuids, host.logs)
    assert find_processes("no mark", place) == {}


def test_sigterm_hands_a_job_on_several_gpus_back_and_frees_every_card(
    make_host: Callable[..., FakeHost],
) -> None:
    host = make_host(4, STEPLINE_TERM_SECONDS="1")
    host.server.jobs = [("job-4", 4)]
    worker = host.start("GPU-0")
    worker.ring()
    host.wait_for_start("GPU-0", "job-4")

    worker.send(signal.SIGTERM)

    worker.wait_for("ended 1")
    assert host.server.finished["job-4"]["status"] == "interrupted"
    wait_for(lambda: free_cards(host) == host.uuids, host.logs)
    assert find_processes("no mark", host.run_dir("GPU-0", "job-4").path) == {}


def test_a_cpu_worker_trains_a_job_on_as_many_ranks_as_it_offers(
    make_host: Callable[..., FakeHost],
) -> None:
    host = make_host(0, STEPLINE_CPU_RANKS="3")
    host.server.jobs = [("job-3", 3)]
    worker = host.start("")
    worker.ring()

    host.wait_for_start("", "job-3")

    place = host.run_dir("", "job-3").path
    wait_for(lambda: len(find_processes("no mark", place)) == 3, host.logs)
    [claim] = host.server.claims
    assert (claim.free_cards, claim.worker.cards) == (3, 3)
    host.finish("")
    worker.wait_for("ended 1")


def test_the_real_training_program_trains_on_two_ranks_of_a_cpu(
    make_host: Callable[..., FakeHost],
) -> None:
    host = make_host(0, training="", STEPLINE_CPU_RANKS="2", OMP_NUM_THREADS="1")
    make_tiny_qwen2(host.directory / "models" / "tiny-qwen2")
    host.server.spec = JobSpec.model_validate(spec_of_job("ds_00000000", steps=2))
    host.server.rows = tiny_rows(40).encode()
    host.server.jobs = [("job-2", 2)]
    worker = host.start("")
    worker.ring()

    wait_for(lambda: "job-2" in host.server.finished, host.logs)

    assert host.server.finished["job-2"] == {"status": "succeeded", "failure": None, "step": 2}
    losses = [
        record["values"]["loss"]
        for sync in host.server.syncs
        for record in sync["records"]
        if record["type"] == "metric"
    ]
    assert len(losses) == 2


def test_a_server_that_assigns_more_gpus_than_were_offered_fails_the_attempt(
    host: FakeHost,
) -> None:
    host.server.jobs = [("job-2", 2)]
    others = [try_lock(host.lock_dir / f"GPU-{number}.lock") for number in (1, 2, 3)]
    assert None not in others
    host.server.ignores_free_cards = True
    worker = host.start("GPU-0")
    worker.ring()

    worker.wait_for("ended 1")

    failure = host.server.finished["job-2"]["failure"]
    assert "assigned 2 GPUs, but the worker holds 1" in failure["detail"]
