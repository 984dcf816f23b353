"""Inserts jobs with random properties directly into the database, and predicts which of them a filter matches."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from app.db.engine import Database
from app.db.tables import Job, JobLabel, JobText, to_json
from app.jobs.store import sort_name_of, text_of
from contracts.job import JobStatus
from tests.app.player import Player
from tests.factories import make_spec

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NAMES = ("Größe 7B", "sweep 1", "sweep 12", "100% done", "a_b", "微调 客服", "ПРОБА", None, None)


def insert(database: Database, jobs: list[dict[str, Any]]) -> None:
    """Store jobs as a submission does, but with given times and statuses."""
    with database.writing() as session:
        for values in jobs:
            known = {
                name: values[name] for name in ("name", "labels", "queue", "priority", "model")
            }
            spec = make_spec(dataset={"train": {"hub": "a/b"}}, **known)
            job = Job(
                id=values["id"],
                status=values["status"],
                spec=to_json(spec),
                model=spec.model,
                queue=spec.queue,
                priority=spec.priority,
                created_at=values["created_at"],
                ended_at=values["ended_at"],
                eval_loss=values["eval_loss"],
                archived=values["archived"],
            )
            session.add(job)
            session.flush()
            name = spec.name or ""
            listed = {"number": job.number, "archived": job.archived}
            session.add(
                JobText(text=text_of(name, spec.model, job.id), name=sort_name_of(name), **listed)
            )
            place = listed | {"created_at": job.created_at}
            session.add_all(
                JobLabel(job_id=job.id, key=key, value=value, **place)
                for key, value in spec.labels.items()
            )


def make_jobs(count: int, seed: int = 0, **same: Any) -> list[dict[str, Any]]:
    """Return jobs in the order of their numbers; their creation times are out of order, and some are equal."""
    rng = random.Random(seed)  # noqa: S311  # the same jobs in each run
    return [
        {
            "id": f"job_{rng.getrandbits(96):024x}",
            "status": rng.choice(list(JobStatus)),
            "name": rng.choice(NAMES),
            "model": rng.choice(("qwen/small", "qwen/large", "Other_Model")),
            "queue": rng.choice(("a", "b")),
            "priority": rng.choice((0, 0, 0, 5, -5)),
            "labels": {
                key: rng.choice(("x", "y")) for key in ("team", "stage") if rng.random() < 0.6
            },
            "created_at": NOW + timedelta(seconds=n // 3 + rng.choice((0, 0, -40))),
            "ended_at": rng.choice((None, NOW + timedelta(seconds=rng.randrange(40)))),
            "eval_loss": rng.choice((None, rng.randrange(9) / 4)),
            "archived": rng.random() < 0.2,
        }
        | same
        for n in range(count)
    ]


def fits(job: dict[str, Any], chosen: dict[str, Any]) -> bool:
    text = "\n".join((job["name"] or "", job["model"], job["id"])).casefold()
    return (
        chosen.get("search", "").casefold() in text
        and job["status"] in chosen.get("status", list(JobStatus))
        and all(label in job["labels"].items() for label in chosen.get("label", ()))
        and chosen.get("label_key", "") in ("", *job["labels"])
        and (chosen["archived"] == "any" or job["archived"] == (chosen["archived"] == "true"))
        and ("created_after" not in chosen or job["created_at"] > chosen["created_after"])
        and ("created_before" not in chosen or job["created_at"] < chosen["created_before"])
    )


def choose(rng: random.Random, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return randomly chosen filters."""
    one = rng.choice(jobs)
    part = rng.randrange(20)
    every = {
        "search": rng.choice(
            [
                "sweep 1",
                "QWEN",
                "größe",
                "проба",
                "微调",
                "0%",
                "_",
                one["id"][part : part + 6],
                "no",
            ]
        ),
        "status": rng.sample(list(JobStatus), rng.randint(1, 4)),
        "label": rng.sample([("team", "x"), ("stage", "y")], rng.randint(1, 2)),
        "label_key": rng.choice(("team", "stage")),
        "created_after": one["created_at"],
        "created_before": one["created_at"] + timedelta(seconds=rng.randint(0, 40)),
    }
    names = rng.sample(list(every), rng.choice((0, 1, 1, 1, 2, 2, 3)))
    archived = rng.choice(("false", "false", "true", "any"))
    return {name: every[name] for name in names} | {"archived": archived}


def in_order(jobs: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Sort jobs as a list would; they are given in the order of their numbers."""
    column, is_descending = sort.removeprefix("-"), sort.startswith("-")
    numbered = list(enumerate(jobs))
    if column == "status":
        groups = ["running", "queued", "paused"]
        newest = sorted(numbered, key=lambda each: (each[1]["created_at"], each[0]), reverse=True)
        claimed = sorted(numbered, key=lambda each: (-each[1]["priority"], each[0]))
        newest = [each for each in newest if each[1]["status"] != "queued"] + [
            each for each in claimed if each[1]["status"] == "queued"
        ]
        ranks = {status: n for n, status in enumerate(groups)}
        newest.sort(key=lambda each: ranks.get(each[1]["status"], 3))
        return [job for _, job in newest]
    keys = {
        number: job[column].casefold() if job[column] and column == "name" else job[column]
        for number, job in numbered
    }
    known = sorted((n for n in keys if keys[n] is not None), key=lambda n: (keys[n], n))
    unknown = sorted((n for n in keys if keys[n] is None), reverse=True)
    return [jobs[n] for n in (known[::-1] if is_descending else known) + unknown]


def pages(player: Player, chosen: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    query: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in chosen.items()
    }
    query["label"] = [":".join(pair) for pair in query.get("label", ())]
    query["label"] += [query.pop("label_key")] if "label_key" in query else []
    cursor: dict[str, str] = {}
    while True:
        page = player.get("/v1/jobs", **query, **cursor, limit=limit)
        yield page
        if not page["has_more"]:
            return
        assert cursor != {"cursor": page["cursor"]}, "each page must move the cursor"
        cursor = {"cursor": page["cursor"]}
