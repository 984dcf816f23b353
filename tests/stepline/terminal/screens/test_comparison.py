"""The table of `stepline compare`."""

import pytest

from stepline.terminal.main import main
from tests.stepline.replies import TIME, Reply, as_json, job, replying


def test_the_duration_excludes_the_time_a_job_was_queued_or_paused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = {"started_at": TIME, "ended_at": "2026-01-01T01:00:00Z"}
    jobs = {
        "job_1": job(id="job_1", run_seconds=62.0, **ended),
        "job_2": job(id="job_2", run_seconds=None, **ended),
        "job_3": job(id="job_3", run_seconds=5.0, status="running", started_at=TIME),
    }

    def reply(method: str, path: str) -> Reply:
        return as_json(jobs[path.rpartition("/")[2]])

    with replying(reply) as url:
        main(["compare", *jobs, "--server", url])

    (line,) = [each for each in capsys.readouterr().out.splitlines() if "Duration" in each]
    assert line.split() == ["Duration", "1:02", "–", "–"]
