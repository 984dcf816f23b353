"""Performs random actions of the users and workers of a queue and compares each response with the reference model."""

import uuid
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.db.engine import Database, database_now
from app.db.tables import Attempt
from app.sweep.sweeper import Sweeper
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.failure import Failure, FailureReason
from contracts.record import CheckpointRecord
from tests.app.jobs.reference_model import MAX_JOBS, ModelAttempt, ModelFailure, ModelJob
from tests.app.player import Player
from tests.factories import make_metric

FINAL = {"succeeded", "failed", "cancelled"}
LAST_SEQ = 6
"""Highest `seq` of a metric record; low enough that repeats and gaps are common."""


class Machine(RuleBasedStateMachine):
    """One example: a queue, its users and two workers. Worker w1 checks its device, w2 does not."""

    def __init__(self, player: Player, database: Database, sweeper: Sweeper, dataset: str) -> None:
        super().__init__()
        self.player, self.database, self.sweeper = player, database, sweeper
        self.dataset = dataset
        self.queue = f"q-{uuid.uuid4().hex[:12]}"
        self.jobs: list[ModelJob] = []
        self.attempts: list[ModelAttempt] = []
        self.passed_checks = 1
        self.restarts = 0
        self.failures: list[ModelFailure] = []
        self.has_seen_w2 = False

    # Users

    @rule(priority=st.integers(0, 1))
    def submit(self, priority: int) -> None:
        job_id = self.player.submit(
            queue=self.queue, priority=priority, dataset={"train": self.dataset}
        )
        self.jobs.append(ModelJob(job_id, len(self.jobs), priority))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), action=st.sampled_from(["cancel", "pause", "resume", "retry"]))
    def act(self, data: st.DataObject, action: str) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        expected = getattr(self, f"_{action}")(job)

        response = self.player.client.post(f"/v1/jobs/{job.id}/{action}")

        found = response.json()["error"]["code"] if response.is_error else "ok"
        assert found == expected, (action, job.status, response.text)

    def _cancel(self, job: ModelJob) -> str:
        if job.status in {"queued", "paused"}:
            job.status = "cancelled"
        elif job.status == "running":
            job.cancel_requested, job.pause_requested = True, False
        return "ok" if job.status in {"running", "cancelled"} else "job_already_ended"

    def _pause(self, job: ModelJob) -> str:
        if job.status in FINAL:
            return "job_already_ended"
        if job.cancel_requested:
            return "cancel_pending"
        if job.status == "queued":
            job.status, job.is_held = "paused", False
        elif job.status == "running":
            job.pause_requested = True
        return "ok"

    def _resume(self, job: ModelJob) -> str:
        if job.status in FINAL:
            return "job_already_ended"
        if job.cancel_requested:
            return "cancel_pending"
        if job.status == "paused":
            job.status = "queued"
        job.pause_requested = False
        return "ok"

    def _retry(self, job: ModelJob) -> str:
        if job.status == "succeeded":
            return "job_already_ended"
        if job.status == "paused":
            return "job_paused"
        if job.status in {"queued", "running"}:
            return "cancel_pending" if job.cancel_requested else "ok"
        job.status, job.cancel_requested = "queued", False
        job.losses, job.checkpoint_at_loss = 0, job.checkpoint_step
        job.is_held = False
        for failure in job.failures:
            failure.blames_job = False
        return "ok"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))

        response = self.player.client.delete(f"/v1/jobs/{job.id}")

        assert response.status_code == (409 if job.status == "running" else 200)
        if job.status != "running":
            self.jobs.remove(job)
            self.failures = [each for each in self.failures if each.attempt.job is not job]
            for attempt in job.attempts:
                attempt.status = "deleted"

    # Workers

    @rule(worker=st.sampled_from(["w1", "w2"]), repeat=st.booleans(), data=st.data())
    def claim(self, worker: str, repeat: bool, data: st.DataObject) -> None:
        claim_id = uuid.uuid4().hex
        own = [attempt for attempt in self.attempts if attempt.worker == worker]
        if repeat and own:
            claim_id = data.draw(st.sampled_from(own)).claim_id
        claimed_before = [a for a in own if a.claim_id == claim_id and a.status == "running"]

        response = self.player.post_claim(claim_id=claim_id, **self._describe(worker))

        self._apply_check(worker)
        waiting = self._claimable(worker)
        self.has_seen_w2 |= worker == "w2"

        if worker == "w1" and self._is_out():
            assert response.status_code == 204
        elif claimed_before:
            again = Claim.model_validate_json(response.content)
            assert again == claimed_before[0].claim.model_copy(
                update={"resume": again.resume, "earlier": again.earlier}
            )
        elif not waiting:
            assert response.status_code == 204
        else:
            best = min(waiting, key=lambda job: (-job.priority, job.number))
            claim = Claim.model_validate_json(response.content)
            assert (claim.job_id, claim.number) == (best.id, len(best.attempts) + 1)
            check_count = self.passed_checks if worker == "w1" else None
            attempt = ModelAttempt(best, claim, claim_id, worker, check_count, self.restarts)
            best.attempts.append(attempt)
            best.status, best.is_held = "running", False
            self.attempts.append(attempt)

    def _claimable(self, worker: str) -> list[ModelJob]:
        waiting = [job for job in self.jobs if job.status == "queued" and not job.is_held]
        if worker == "w2":
            return waiting
        suspects = [each.attempt.job for each in self.failures if each.blames_device]
        others = [job for job in waiting if job not in suspects]
        is_w2_busy = any(a.status == "running" for a in self.attempts if a.worker == "w2")
        return others or ([] if self.has_seen_w2 and not is_w2_busy else waiting)

    def _is_out(self) -> bool:
        against = [f for f in self.failures if f.blames_device and f.started == self.restarts]
        return len({failure.attempt.job.id for failure in against}) >= MAX_JOBS

    @rule(result=st.sampled_from(["repeated", "passed", "failed"]))
    def check_device(self, result: str) -> None:
        self.passed_checks += result == "passed"

        self.player.hello(**self._describe("w1", passed=result != "failed"))

        self._apply_check("w1", passed=result != "failed")

    @rule()
    def restart_worker(self) -> None:
        self.restarts += 1

    def _describe(self, worker: str, *, passed: bool = True) -> dict[str, Any]:
        check = {"passed": passed, "count": self.passed_checks} if worker == "w1" else None
        return {
            "worker_id": f"{worker}-{self.queue}",
            "queue": self.queue,
            "device_check": check,
            "started_at": f"2026-11-28T10:00:{self.restarts:02}Z",
        }

    def _apply_check(self, worker: str, *, passed: bool = True) -> None:
        if worker != "w1":
            return
        for failure in [each for each in self.failures if not each.passed]:
            job, count = failure.attempt.job, failure.attempt.check_count
            assert count is not None
            if passed and self.passed_checks <= count:
                continue
            failure.passed = passed
            is_fault = job.status in {"queued", "paused"} and failure.blames_job and job.has_fault()
            if passed and is_fault:
                job.status, job.is_held = "failed", False
            elif job.attempts[-1] is failure.attempt:
                job.is_held = False

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), seqs=st.sets(st.integers(1, LAST_SEQ), max_size=4))
    def sync(self, data: st.DataObject, seqs: set[int]) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))

        response = self.player.send_sync(attempt.claim, [make_metric(seq) for seq in sorted(seqs)])

        if self._is_rejected(attempt, response):
            return
        attempt.stored |= seqs
        job, reply = attempt.job, response.json()
        assert reply["acked_seq"] == attempt.acked
        expected = "pause" if job.pause_requested else "continue"
        assert reply["wanted"] == ("cancel" if job.cancel_requested else expected)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), step=st.integers(1, 5))
    def write_checkpoint(self, data: st.DataObject, step: int) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        seq = LAST_SEQ + step
        record = CheckpointRecord(seq=seq, at=utc_now(), step=step, name=f"step-{step:08d}")

        response = self.player.send_sync(attempt.claim, [record])

        if not self._is_rejected(attempt, response) and seq not in attempt.stored:
            attempt.stored.add(seq)
            attempt.job.checkpoint_step = max(attempt.job.checkpoint_step, step)

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [
                "succeeded",
                "killed",
                "out of memory",
                "device failed",
                "cancelled",
                "paused",
                "interrupted",
            ]
        ),
        is_whole=st.booleans(),
    )
    def finish(self, data: st.DataObject, outcome: str, is_whole: bool) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        failures = {
            "killed": FailureReason.CHILD_KILLED,
            "out of memory": FailureReason.OOM_GPU,
            "device failed": FailureReason.DEVICE_FAILED,
        }
        status = "failed" if outcome in failures else outcome
        other: dict[str, Any] = {}
        if status == "failed":
            other["failure"] = Failure(reason=failures[outcome])
        if outcome == "succeeded" and attempt.status == "running":
            assert self.player.put_artifact(attempt.claim).status_code in {200, 201}
        last_seq = attempt.acked if is_whole else attempt.acked + 1

        response = self.player.finish(attempt.claim, status, last_seq, **other)

        if attempt.status == status:  # repeats the call that ended the attempt
            assert response.json() == {"job_status": attempt.settled_as}
        elif not self._is_rejected(attempt, response, "records_missing" if not is_whole else None):
            attempt.status = status
            is_device_checked = attempt.check_count is not None
            is_loss = outcome == "killed" or (outcome == "device failed" and not is_device_checked)
            made = {"succeeded": "succeeded", "out of memory": "failed", "cancelled": "cancelled"}
            job, settled = attempt.job, made.get(outcome, "continue")
            is_device_failure = outcome == "device failed" and is_device_checked
            if is_device_failure:
                failure = ModelFailure(attempt, attempt.started, job.checkpoint_step)
                self.failures.append(failure)
                job.failures.append(failure)
                if job.has_fault() and not job.cancel_requested:
                    settled = "failed"
            job.settle(attempt, settled, is_loss)
            job.is_held = is_device_failure and job.status == "queued"
            if outcome == "succeeded":
                for failure in self.failures:
                    failure.blames_device &= attempt.worker != "w1"
            assert response.json() == {"job_status": attempt.job.status}

    # Time

    @rule(data=st.data(), is_silent=st.booleans())
    def sweep(self, data: st.DataObject, is_silent: bool) -> None:
        running = [attempt for attempt in self.attempts if attempt.status == "running"]
        if running and is_silent:
            attempt = data.draw(st.sampled_from(running))
            self._expire(attempt)
            attempt.job.settle(attempt, "continue", is_loss=True)

        self.sweeper.sweep_once()

    def _expire(self, attempt: ModelAttempt) -> None:
        with self.database.writing() as session:
            row = session.get(Attempt, attempt.claim.attempt_id)
            assert row is not None
            row.takeover_at = database_now(session) - timedelta(seconds=1)

    def _is_rejected(
        self, attempt: ModelAttempt, response: Any, otherwise: str | None = None
    ) -> bool:
        """Check that the server rejected the call if and only if it should have; return whether it did."""
        expected = {"running": otherwise, "deleted": "invalid_token"}.get(
            attempt.status, "attempt_superseded"
        )
        found = response.json()["error"]["code"] if response.is_error else None
        assert found == expected, (attempt.status, response.text)
        return expected is not None

    @invariant()
    def server_matches_model(self) -> None:
        listed = self.player.get("/v1/jobs", limit=100)["data"]
        found = {job["id"]: job for job in listed if job["spec"]["queue"] == self.queue}
        assert found.keys() == {job.id for job in self.jobs}
        for job in self.jobs:
            seen = found[job.id]
            assert (seen["status"], seen["attempt"]) == (job.status, len(job.attempts)), job
            if job.status == "running":
                assert (seen["cancel_requested_at"] is not None) == job.cancel_requested
                assert (seen["pause_requested_at"] is not None) == job.pause_requested

    def teardown(self) -> None:
        for job in self.jobs:
            attempts = self.player.get(f"/v1/jobs/{job.id}/attempts")["data"]
            found = {attempt["number"]: attempt["status"] for attempt in attempts}
            assert found == {a.claim.number: a.status for a in job.attempts}
            if job.status == "running":
                assert self.player.finish(job.attempts[-1].claim, "cancelled").status_code == 200
            self.player.client.delete(f"/v1/jobs/{job.id}")
