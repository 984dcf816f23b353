"""Checks docker-compose.yml: the API's allowed hosts and the secrets of each service."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.config.hosts import AllowedHosts
from app.config.settings import Settings

ROOT = Path(__file__).parent.parent
SECRETS = {"secrets": "the database password", "worker-token": "the worker token"}


def _compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the services of the compose file, with `${NAME:-default}` expanded as compose does."""

    def expand(match: re.Match[str]) -> str:
        return variables.get(match[1]) or match[2]

    text = (ROOT / "docker-compose.yml").read_text()
    services: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{(\w+):-([^}]*)\}", expand, text))[
        "services"
    ]
    return services


def _image_environment() -> dict[str, str]:
    return dict(re.findall(r"\b(STEPLINE_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def _settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """Return the API's settings when it runs under compose."""
    for name, value in (_image_environment() | _compose(variables)["api"]["environment"]).items():
        monkeypatch.setenv(name, "" if value is None else str(value))
    return Settings()


def test_the_api_accepts_the_host_names_of_workers_users_and_health_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _settings(monkeypatch)
    allowed = AllowedHosts(settings.host, settings.allowed_hosts)
    services = _compose({})

    for worker in ("worker", "worker-cpu"):
        url = services[worker]["environment"]["STEPLINE_SERVER_URL"]
        assert urlsplit(url).hostname in allowed
    health = urlsplit(re.findall(r"http://[^']+", services["api"]["healthcheck"]["test"][-1])[0])
    assert health.hostname in allowed
    assert "localhost" in allowed
    assert "172.18.0.5" in allowed  # a health check that calls the container by its address
    assert "evil.example" not in allowed


def test_hosts_set_by_the_user_are_added_to_the_allowed_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _settings(monkeypatch, STEPLINE_ALLOWED_HOSTS="gpu-box, *.example.org")

    assert settings.allowed_hosts == ["api", "gpu-box", "*.example.org"]


def test_limits_can_be_raised_for_a_reverse_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defaults = _settings(monkeypatch)
    settings = _settings(
        monkeypatch,
        STEPLINE_TRUSTED_PROXIES="172.16.0.0/12",
        STEPLINE_CONNECTIONS_PER_PEER="0",
        STEPLINE_STREAMS_PER_PEER="7",
        STEPLINE_STREAMS="8",
    )

    assert (defaults.trusted_proxies, defaults.connections_per_peer) == ([], 1000)
    assert settings.trusted_proxies == ["172.16.0.0/12"]
    assert settings.connections_per_peer == 0
    assert (settings.streams_per_peer, settings.streams) == (7, 8)


def test_the_port_is_published_only_on_loopback() -> None:
    assert _compose({})["api"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_image_listens_on_all_addresses_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _settings(monkeypatch)

    assert settings.host == "0.0.0.0"  # noqa: S104  # compared, not bound
    assert settings.allow_remote


def test_each_secret_is_mounted_only_where_it_is_needed() -> None:
    mounted = {
        name: {SECRETS[v.split(":")[0]] for v in service["volumes"] if v.split(":")[0] in SECRETS}
        for name, service in _compose({}).items()
    }

    assert mounted == {
        "init": {"the database password", "the worker token"},
        "postgres": {"the database password"},
        "valkey": set(),
        "migrate": {"the database password"},
        "api": {"the database password", "the worker token"},
        "worker": {"the worker token"},
        "worker-cpu": {"the worker token"},
    }


def test_only_workers_get_the_hub_token_and_no_service_uses_an_env_file() -> None:
    services = _compose({})

    with_hub = {
        name for name, service in services.items() if "HF_TOKEN" in service.get("environment", {})
    }

    assert with_hub == {"worker", "worker-cpu"}
    assert not any("env_file" in service for service in services.values())


def test_the_services_get_the_settings_of_openais_features(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "STEPLINE_MODEL_ALIASES": "gpt-4o=tiny-qwen2",
        "STEPLINE_WANDB": "true",
        "STEPLINE_WEBHOOK_NETWORKS": "10.0.0.0/8",
        "EXTRAS": "worker,wandb",
    }
    defaults, settings = _settings(monkeypatch), _settings(monkeypatch, **given)
    services = _compose(given)
    examples = (ROOT / ".env.example").read_text()

    assert (defaults.model_aliases, defaults.wandb, defaults.webhook_networks) == ({}, False, [])
    assert settings.model_aliases == {"gpt-4o": "tiny-qwen2"}
    assert (settings.wandb, settings.webhook_networks) == (True, ["10.0.0.0/8"])
    for name in ("worker", "worker-cpu"):
        environment = services[name]["environment"]
        assert environment["STEPLINE_WANDB"] is True  # YAML's; compose passes the text
        assert services[name]["build"]["args"] == {"EXTRAS": "worker,wandb"}
        wandb = {variable for variable in environment if variable.startswith("WANDB_")}
        assert {"WANDB_API_KEY", "WANDB_MODE"} <= wandb
        for variable in (*given, *wandb):
            assert f"# {variable}=" in examples
    assert not any(variable.startswith("WANDB_") for variable in services["api"]["environment"])
    assert '".[$EXTRAS]"' in (ROOT / "Dockerfile.gpu").read_text()


def test_a_service_reads_secrets_only_from_its_own_mounts() -> None:
    for name, service in _compose({}).items():
        places = [volume.split(":")[1] for volume in service["volumes"]]
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert any(value.startswith(f"{place}/") for place in places), (name, variable)


def test_every_package_of_the_distribution_is_in_the_build_context_of_the_images() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    rules = (ROOT / ".dockerignore").read_text().splitlines()

    assert {f"!{pattern.removesuffix('*')}" for pattern in patterns} <= set(rules)


def test_all_compose_projects_on_a_host_share_the_gpu_locks() -> None:
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    worker = _compose({})["worker"]

    assert worker["environment"]["STEPLINE_LOCK_DIR"] == "/locks"
    assert "gpu-locks:/locks" in worker["volumes"]
    assert volumes["gpu-locks"]["name"] == "stepline-gpu-locks"
    assert " /locks" in (ROOT / "Dockerfile.gpu").read_text(), (
        "the volume gets its owner from the image's directory"
    )
