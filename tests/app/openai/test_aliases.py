"""Other names of models in requests for fine-tuning jobs."""

import pytest

from app.config.settings import Settings
from tests.app.openai.test_files import code_of
from tests.app.openai.test_jobs import create, post
from tests.app.player import Player

ALIASES = {"gpt-4o-mini-2024-07-18": "tiny-qwen2", "gpt-3.5-turbo": "other"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"model_aliases": ALIASES})


def test_a_job_says_which_model_an_alias_trains(player: Player) -> None:
    job = create(player, model="gpt-4o-mini-2024-07-18")

    assert (job["model"], job["requested_model"]) == ("tiny-qwen2", "gpt-4o-mini-2024-07-18")
    assert job["stepline"]["spec"]["model"] == "tiny-qwen2"
    assert create(player, model="tiny-qwen2")["requested_model"] == "tiny-qwen2"
    assert player.client.get("/v1/models/gpt-4o-mini-2024-07-18").status_code == 404


def test_an_alias_of_a_model_that_no_worker_has_is_rejected_with_the_models_name(
    player: Player,
) -> None:
    player.hello(models=["tiny-qwen2"])

    rejected = post(player, model="gpt-3.5-turbo")

    assert code_of(rejected) == (400, "model_not_found", "model")
    assert "other" in rejected.json()["error"]["message"]
    assert player.post_job(model="gpt-3.5-turbo").status_code == 400, "only for OpenAI's API"
