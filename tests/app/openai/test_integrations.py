"""Integrations of fine-tuning jobs, on a server whose operator has configured W&B."""

from typing import Any

import pytest
from openai.types.fine_tuning import FineTuningJob

from app.config.settings import Settings
from contracts.wandb import WandbSettings
from tests.app.openai.test_files import code_of
from tests.app.openai.test_jobs import JOBS, WANDB, create, post
from tests.app.player import Player


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"wandb": True})


def test_the_integration_of_a_job_is_shown_and_reaches_its_worker(player: Player) -> None:
    given: dict[str, Any] = {"project": "p", "name": "n", "entity": "e", "tags": ["a", "b"]}
    job = create(player, integrations=[{"type": "wandb", "wandb": given}])

    assert job["integrations"] == [{"type": "wandb", "wandb": given}]
    FineTuningJob.model_validate(player.get(f"{JOBS}/{job['id']}"), strict=True)
    assert player.claim().wandb == WandbSettings(**given)

    create(player, integrations=[WANDB])
    assert player.claim(worker_id="worker-2").wandb == WandbSettings(project="p")
    assert create(player, integrations=None)["integrations"] == []
    assert create(player, integrations=[])["integrations"] == []
    player.submit()
    assert [player.claim(worker_id=f"worker-{n}").wandb for n in (3, 4, 5)] == [None] * 3


@pytest.mark.parametrize(
    ("wandb", "code", "field"),
    [
        ({}, "invalid_field", "project"),
        ({"project": ""}, "invalid_field", "project"),
        ({"project": "p", "api_key": "k"}, "invalid_field", "api_key"),
        ({"project": "p", "tags": ["ok", "\x1b[31m"]}, "unsafe_character", "tags"),
        ({"project": "p\u202e"}, "unsafe_character", "project"),
    ],
)
def test_a_wrong_integration_is_rejected_with_its_field(
    player: Player, wandb: dict[str, Any], code: str, field: str
) -> None:
    rejected = post(player, integrations=[{"type": "wandb", "wandb": wandb}])

    assert code_of(rejected) == (400, code, f"integrations[0].wandb.{field}")
