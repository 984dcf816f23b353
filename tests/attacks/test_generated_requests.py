"""Requests that schemathesis generates from the OpenAPI document: allowed ones, boundary values, and forbidden ones.

Each response must match the document in status, media type, headers and shape, including the events of the stream. The server
must reject requests that the document forbids, including unknown methods, and must never respond with 500. Most ids are those of
real jobs, datasets and artifacts, so that responses have content.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import EvalRecord, LogRecord, PhaseRecord
from tests.app.player import Player
from tests.factories import make_metric
from tests.programs.server_process import Server

EXAMPLES = 10
"""Random requests per operation. With --slow, the test also sends requests derived from the document's bounds."""
MANY_EXAMPLES = 100
SKIPPED_CHECK = "positive_data_acceptance"
"""This check is skipped, because cursors, ids and pairs of parameters may match the document and still be invalid."""

LONG_ESCAPES = re.compile(r"(%[0-9A-F]{2}){20,}")
"""Escaped text in an address, which would hide the report of a failure."""

CONFIGURATION = """
max-stream-events = 50
request-timeout = 20
{seed}

# The usual statuses, and 431, because an address may be too long before anything in it is read.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 415, 422, 428, 429, 431, "5xx"]

[generation]
max-examples = {examples}
deterministic = {deterministic}

[phases.coverage]
enabled = {coverage}

# Ids of waiting jobs are not used for reading, because their streams do not end.
[phases.coverage.extra-data-sources]
responses = false
[phases.fuzzing.extra-data-sources]
responses = false
[phases.stateful]
enabled = false

[dictionaries]
{dictionaries}

[parameters]
"path.job_id" = {{ dictionary = "ended-jobs", probability = 0.7 }}
"path.dataset_id" = {{ dictionary = "datasets", probability = 0.7 }}
"path.name" = {{ dictionary = "artifacts", probability = 0.7 }}
"query.since" = {{ dictionary = "places", probability = 0.5 }}

[[operations]]
include-operation-id = "get_job"
parameters = {{ "query.wait" = {{ dictionary = "waits", probability = 1.0 }} }}

[[operations]]
include-operation-id = "create_job"
parameters = {{ "body.dataset.train" = {{ dictionary = "datasets", probability = 0.9 }} }}

[[operations]]
include-operation-id = "upload_dataset"
parameters = {{ "body.file" = {{ dictionary = "files", probability = 0.5 }} }}

[[operations]]
include-operation-id = ["cancel_job", "pause_job", "resume_job", "retry_job", "delete_job"]
parameters = {{ "path.job_id" = {{ dictionary = "changing-jobs", probability = 0.7 }} }}

[[operations]]
include-operation-id = "delete_dataset"
parameters = {{ "path.dataset_id" = {{ dictionary = "unused-datasets", probability = 0.7 }} }}
"""


def make_objects(player: Player) -> dict[str, list[str] | list[float]]:
    """Create a job with a full history, a failed one, and jobs and datasets that may be changed; return values for requests."""
    datasets = [player.upload(mark=f"kept {n} ") for n in range(2)]
    finished = player.submit(dataset={"train": datasets[0]}, name="finished")
    claim = player.claim()
    at = utc_now()
    player.sync(
        claim,
        PhaseRecord(seq=1, at=at, phase=Phase.TRAINING, total_steps=40),
        *[make_metric(seq, step=seq - 1) for seq in range(2, 42)],
        EvalRecord(seq=42, at=at, step=40, loss=1.6, tokens=10),
        LogRecord(seq=43, at=at, message="done", level="warning"),
    )
    player.print(claim, 0, "line one\nline two\n")
    player.checkpoint(claim, 44, 40)
    player.succeed(claim, last_seq=44)
    failed = player.submit(dataset={"train": datasets[0]})
    player.fail(player.claim(), FailureReason.LOSS_NOT_FINITE)
    changing = [player.submit(queue="other", dataset={"train": datasets[1]}) for _ in range(3)]
    return {
        "ended-jobs": [finished, failed],
        "changing-jobs": changing,
        "datasets": datasets,
        "unused-datasets": [player.upload(mark=f"unused {n} ") for n in range(3)],
        "artifacts": ["adapter.zip"],
        "waits": [0, 0.01],
        "places": ["now", player.get(f"/v1/jobs/{finished}/loss")["cursor"]],
        "files": [json.dumps([{"prompt": "a", "completion": c} for c in "xyz"]), "[]", '{"a": 1}'],
    }


def send_all(server: Server, directory: Path, examples: int, seed: int | None) -> str:
    """Send the requests and return the report. On wrong responses, fail and list the requests as curl commands."""
    dictionaries = _toml(make_objects(Player(server.client)))
    configuration = directory / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.format(
            examples=examples,
            dictionaries=dictionaries,
            seed="" if seed is None else f"seed = {seed}",
            deterministic="true" if seed is None else "false",
            # These are more than a thousand requests, which take longer than all others.
            coverage="false" if seed is None else "true",
        )
    )
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)]
    program += ["run", f"http://127.0.0.1:{server.port}/openapi.json"]
    program += ["--exclude-checks", SKIPPED_CHECK, "--continue-on-failure", "--warnings", "off"]
    result = subprocess.run(
        program, check=False, capture_output=True, text=True, cwd=directory, timeout=1500
    )
    shown = LONG_ESCAPES.sub("%…", result.stdout)
    assert result.returncode == 0, shown[-20_000:] + result.stderr[-2000:]
    return result.stdout


def _toml(dictionaries: Mapping[str, list[str] | list[float]]) -> str:
    return "\n".join(
        f"{name} = {{ values = {json.dumps(values)} }}" for name, values in dictionaries.items()
    )


def test_every_response_matches_the_openapi_document(server: Server, tmp_path: Path) -> None:
    report = send_all(server, tmp_path, EXAMPLES, seed=None)

    operations = len(
        [m for path in server.client.get("/openapi.json").json()["paths"].values() for m in path]
    )
    assert f"Tested: {operations}" in report
    assert server.client.get("/healthz").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_response_matches_the_openapi_document_over_many_requests(
    server: Server, tmp_path: Path, seed: int
) -> None:
    send_all(server, tmp_path, MANY_EXAMPLES, seed)
