from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from app.config.settings import Settings as ServerSettings
from worker.settings import Settings as WorkerSettings

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("settings", [ServerSettings, WorkerSettings])
def test_every_setting_is_documented(settings: type[BaseSettings]) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    missing = [name for name in settings.model_fields if f"`STEPLINE_{name.upper()}`" not in text]

    assert missing == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_every_link_in_the_readme_points_to_an_existing_file(readme: str) -> None:
    text = (ROOT / readme).read_text()
    targets = [part.split(")")[0] for part in text.split("](")[1:]]

    missing = [target for target in targets if not (ROOT / target).exists()]

    assert targets
    assert missing == []
