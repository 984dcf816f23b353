"""Job ETags. A tag has two parts: one for the editable fields, and one for the whole job as users see it.

A running job changes every second. If-Match compares only the first part: an edit is rejected if another user has
edited the job, but not if the job has only made progress. If-None-Match compares the whole tag.
"""

import hashlib
import json

from app.jobs.schemas import JobView


def tag_of(job: JobView) -> str:
    """Return the ETag of a job."""
    edited = (job.name, job.labels, job.notes, job.archived, job.priority)
    parts = json.dumps(edited, sort_keys=True), job.model_dump_json()
    return f'"{"-".join(_hashed(part) for part in parts)}"'


def allows_edit(if_match: str, tag: str) -> bool:
    """Return whether the header contains a tag with the same editable fields, or is `*`.

    Weak tags match too, because proxies that compress a response weaken its tag.
    """
    tags = [each.strip().removeprefix("W/").strip('"') for each in if_match.split(",")]
    return "*" in tags or _edited_part(tag.strip('"')) in map(_edited_part, tags)


def _edited_part(tag: str) -> str:
    return tag.partition("-")[0]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
