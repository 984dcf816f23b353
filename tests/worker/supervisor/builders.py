"""Builders of this room."""

from typing import Any

from contracts.attempt import Claim
from tests.factories import make_spec


def make_claim(**changes: Any) -> Claim:
    """Return a claim of an uploaded dataset that syncs quickly."""
    figures: dict[str, Any] = {
        "attempt_id": "att_1",
        "job_id": "job_1",
        "number": 1,
        "token": "secret-of-the-attempt",
        "spec": make_spec(),
        "train": {"dataset_id": "ds_00000000", "sha256": "0" * 64, "bytes": 3, "rows": 1},
        "sync_seconds": 10.0,
        "flush_seconds": 0.01,
        "lease_seconds": 45.0,
    }
    return Claim.model_validate(figures | changes)
