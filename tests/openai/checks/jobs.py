"""Checks of jobs, their histories and their models."""

import asyncio
import inspect
from typing import Any

import openai

from tests.openai.checks.case import MODEL, SMALL, STEPS, Case, check, error_of, poll

IN_QUEUE = {"queue": "without-worker"}


@check()
def a_finished_job_has_its_figures(case: Case) -> None:
    done = case.done
    assert (done.id, done.status, done.error) == (case.job.id, "succeeded", None)
    assert case.job.status == "queued"
    assert done.fine_tuned_model == f"ft:{MODEL}:stepline:my-tiny:{done.id[6:14]}"
    assert (done.hyperparameters.n_epochs, done.hyperparameters.batch_size) == (1, 4)
    assert done.trained_tokens > 0
    assert done.finished_at >= done.created_at
    assert done.metadata == {"team": "a"}


@check()
def events_are_listed_to_the_end_newest_first(case: Case) -> None:
    events = list(case.client.fine_tuning.jobs.list_events(case.job.id, limit=4))

    assert len({event.id for event in events}) == len(events)
    assert events[0].message == "The job has successfully completed"
    assert events[-1].message == f"Created fine-tuning job: {case.job.id}"
    steps = [event.data for event in events if event.type == "metrics"]
    assert [step["step"] for step in steps] == list(range(STEPS, 0, -1))
    assert all(step["train_loss"] > 0 for step in steps)
    assert steps[0]["valid_loss"] > 0


@check("fine_tuning.jobs.checkpoints")
def checkpoints_are_listed_to_the_end_newest_first(case: Case) -> None:
    found = list(case.client.fine_tuning.jobs.checkpoints.list(case.job.id, limit=1))

    assert [each.step_number for each in found] == [6, 3]
    assert all(each.fine_tuning_job_id == case.job.id for each in found)
    assert found[0].fine_tuned_model_checkpoint == f"{case.done.fine_tuned_model}:ckpt-step-6"


@check()
def jobs_are_listed_to_the_end_newest_first(case: Case) -> None:
    file, jobs = case.upload(), case.client.fine_tuning.jobs
    label = case.job.id  # no other run of this check has it
    created = [
        case.create(file.id, metadata={label: str(n % 2)}, stepline=IN_QUEUE).id for n in range(6)
    ]

    filters: Any = {"extra_query": {f"metadata[{label}]": "0"}}
    if "metadata" in inspect.signature(jobs.list).parameters:
        filters = {"metadata": {label: "0"}}
    filtered = [job.id for job in jobs.list(limit=2, **filters)]
    everything = [job.id for job in jobs.list(limit=2)]

    assert filtered == [created[4], created[2], created[0]]
    assert everything[:6] == created[::-1]
    assert case.job.id in everything
    assert len(set(everything)) == len(everything)
    assert {jobs.cancel(job_id).status for job_id in created} == {"cancelled"}


@check("fine_tuning.jobs.pause", "fine_tuning.jobs.resume")
def a_queued_job_is_paused_and_resumed_and_cancelled(case: Case) -> None:
    jobs = case.client.fine_tuning.jobs
    job = case.create(case.upload().id, stepline=IN_QUEUE)

    changed = [action(job.id) for action in (jobs.pause, jobs.resume, jobs.cancel)]

    assert [each.status for each in changed] == ["paused", "queued", "cancelled"]
    assert {each.id for each in changed} == {job.id}


@check("fine_tuning.jobs.pause", "fine_tuning.jobs.resume", is_slow=True)
def a_running_job_is_paused_and_resumed_and_cancelled(case: Case) -> None:
    jobs = case.client.fine_tuning.jobs
    endless = SMALL | {"training": {"max_length": 128, "max_steps": 100_000, "epochs": 10_000}}
    job = case.create(case.upload().id, stepline=endless)

    poll(case.client, job.id, is_met=lambda each: each.stepline["progress"]["step"] > 0)
    jobs.pause(job.id)
    paused = poll(case.client, job.id, is_met=lambda each: each.status == "paused")
    resumed = jobs.resume(job.id)
    poll(case.client, job.id, is_met=lambda each: each.status == "running")
    jobs.cancel(job.id)
    cancelled = poll(case.client, job.id)

    assert (paused.finished_at, resumed.status) == (None, "queued")
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at >= cancelled.created_at
    codes = [event.data.get("code") for event in jobs.list_events(job.id, limit=10).data]
    assert "job_cancelled" in codes


@check()
def the_asynchronous_client_lists_jobs_and_events(case: Case) -> None:
    async def read() -> tuple[list[str], list[str]]:
        asynchronous = openai.AsyncOpenAI(base_url=f"{case.url}/v1", api_key="any-key")
        async with asynchronous as client:
            jobs = client.fine_tuning.jobs
            return [job.id async for job in jobs.list(limit=50)], [
                event.id async for event in jobs.list_events(case.job.id, limit=5)
            ]

    jobs, events = asyncio.run(read())

    assert case.job.id in jobs
    assert len(set(events)) == len(events) > STEPS


@check()
def a_fine_tuned_model_is_listed_and_retrieved(case: Case) -> None:
    name, models = case.done.fine_tuned_model, case.client.models

    assert name in [model.id for model in models.list()]
    assert models.retrieve(name).id == name


@check(is_last=True)
def a_fine_tuned_model_is_deleted(case: Case) -> None:
    delete_model(case.client, case.done.fine_tuned_model)


def delete_model(client: Any, name: str) -> None:
    """Delete a fine-tuned model, and check that it cannot be retrieved any more."""
    assert client.models.delete(name).deleted is True
    assert isinstance(error_of(lambda: client.models.retrieve(name)), openai.NotFoundError)
