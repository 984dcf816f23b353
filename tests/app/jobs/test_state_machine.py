"""Jobs, attempts and leases match a small reference model after any sequence of actions.

The model follows docs/lifecycle.md, not the server's code, and the same calls are made on SQLite and
PostgreSQL. Each example has its own queue, so that all examples can share a server.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as limits
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from app.config.settings import Settings
from app.db.engine import Database
from app.doorbell import Doorbell
from app.sweep.sweeper import Sweeper
from tests.app.jobs.machine import Machine
from tests.app.player import Player
from tests.programs.server_process import TOKEN


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Return settings for a server that queues a lost job again immediately."""
    return Settings(
        database_url=database_url,
        data_dir=tmp_path / "files",
        worker_token=TOKEN,
        doorbell=False,
        retry_seconds=0,
    )


@pytest.mark.parametrize("examples", [6, pytest.param(300, marks=pytest.mark.slow)])
def test_jobs_attempts_and_leases_match_the_reference_model(
    player: Player, database: Database, settings: Settings, examples: int
) -> None:
    sweeper = Sweeper(database, settings, Doorbell(settings))
    sweeper.sweep_once()  # the first sweep of a new database extends all leases
    dataset = player.upload()

    def machine() -> RuleBasedStateMachine:
        return Machine(player, database, sweeper, dataset)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # hypothesis documents that a factory is allowed
        settings=limits(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            derandomize=examples < 100,  # the quick run is the same each time
            suppress_health_check=list(HealthCheck),
        ),
    )
