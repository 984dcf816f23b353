import re

import pytest
from pydantic import ValidationError

from app.config.settings import Settings


@pytest.mark.parametrize(
    "times",
    [
        {"flush_seconds": 11},
        {"sync_seconds": 45},
        {"lease_seconds": 180},
        {"lease_seconds": 200},
        {"sweep_seconds": 45},
        {"sync_seconds": 0},
    ],
)
def test_inconsistent_times_are_rejected(times: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(times)


def test_times_scaled_down_together_are_accepted() -> None:
    Settings(
        flush_seconds=0.02,
        sync_seconds=0.5,
        lease_seconds=2.25,
        takeover_seconds=9,
        sweep_seconds=0.5,
        ring_seconds=1.5,
    )


def test_origins_are_split_and_empty_variables_count_as_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEPLINE_CORS_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("STEPLINE_PORT", "")

    settings = Settings()

    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.port == 8000


def test_trusted_proxies_may_be_addresses_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_TRUSTED_PROXIES", "192.0.2.7, 10.0.0.1/8")
    assert Settings().trusted_proxies == ["192.0.2.7/32", "10.0.0.0/8"]

    monkeypatch.setenv("STEPLINE_TRUSTED_PROXIES", "nginx")
    with pytest.raises(ValidationError, match="'nginx' is not an address"):
        Settings()


def test_model_aliases_are_names_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().model_aliases == {}
    monkeypatch.setenv("STEPLINE_MODEL_ALIASES", "gpt-4o-mini = Qwen/Qwen2-0.5B, b=tiny-qwen2,")
    assert Settings().model_aliases == {"gpt-4o-mini": "Qwen/Qwen2-0.5B", "b": "tiny-qwen2"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("gpt-4o-mini", "'gpt-4o-mini' is not of the form name=model"),
        ("gpt 4=tiny", "'gpt 4' in 'gpt 4=tiny' is not the name of a model"),
        ("gpt-4=", "'' in 'gpt-4=' is not the name of a model"),
        ("a=b,a=c", "'a' has two models: 'b' and 'c'"),
        ("a=b,b=c", "'a' is another name of 'b', which is itself another name"),
    ],
)
def test_a_bad_model_alias_stops_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, given: str, problem: str
) -> None:
    monkeypatch.setenv("STEPLINE_MODEL_ALIASES", given)
    with pytest.raises(ValidationError, match=re.escape(problem)):
        Settings()
