"""The user's settings: a JSON file in the user's configuration directory, readable only by its owner, because it may contain keys."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import click

DEFAULT_SERVER = "http://127.0.0.1:8000"
KEYS = ("server", "lang")
"""Settings that `stepline config` changes."""


@dataclass(frozen=True)
class Config:
    """The content of the file. Every setting may be absent."""

    server: str | None = None
    lang: str | None = None
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    """API keys by the address of their server, so that no key is sent to another one."""


def config_file() -> Path:
    """Return the path of the file, `~/.config/stepline/client.json` on Linux."""
    return Path(click.get_app_dir("stepline")) / "client.json"


def read_config() -> Config:
    """Return the settings; empty if there is no readable file."""
    try:
        return load_config()
    except (OSError, ValueError):
        return Config()


def load_config() -> Config:
    """Return the settings; empty if there is no file. Raises OSError or ValueError if the file cannot be read."""
    try:
        found = json.loads(config_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  # as for text that is not JSON
    keys = found.get("keys")
    return Config(
        **{name: found[name] for name in KEYS if isinstance(found.get(name), str)},
        keys={
            server: key
            for server, key in (keys if isinstance(keys, dict) else {}).items()
            if isinstance(key, str)
        },
    )


def write_config(config: Config) -> None:
    """Replace the settings. Raises OSError if the file cannot be written."""
    content = {"server": config.server, "lang": config.lang, "keys": config.keys}
    text = json.dumps({name: value for name, value in content.items() if value}, indent=2)
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)  # an existing file would keep its permissions
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    partial.replace(path)
