"""The user's settings: a JSON file in the user's configuration directory, with the server's address and the language."""

import json
from pathlib import Path

import click

DEFAULT_SERVER = "http://127.0.0.1:8000"
KEYS = ("server", "lang")


def config_file() -> Path:
    """Return the path of the file, `~/.config/stepline/client.json` on Linux."""
    return Path(click.get_app_dir("stepline")) / "client.json"


def read_config() -> dict[str, str]:
    """Return the settings; empty if there is no readable file."""
    try:
        found = json.loads(config_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        key: found[key]
        for key in KEYS
        if isinstance(found, dict) and isinstance(found.get(key), str)
    }


def write_config(settings: dict[str, str]) -> None:
    """Replace the settings. Raises OSError if the file cannot be written."""
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
