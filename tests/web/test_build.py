"""Checks of the page that need no browser: its size, its colors, its Chinese field names and its lock file."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Settings
from app.main import create_app
from app.site.page import BUILD_DIR

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
MAX_BYTES = 150_000
MIN_CONTRAST = 4.5


def _own_files() -> list[Path]:
    """Return the files of the build, without Swagger UI's, which only the API page loads."""
    files = [path for path in BUILD_DIR.glob("**/*") if path.is_file()]
    assert any(path.name.startswith("swagger") for path in files)
    return [path for path in files if not path.name.startswith("swagger")]


def test_the_page_is_small() -> None:
    files = _own_files()

    compressed = sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in files)

    assert {path.suffix for path in files} >= {".html", ".js", ".css"}
    assert compressed < MAX_BYTES


def test_the_build_contains_no_address_of_another_host() -> None:
    text = "".join(path.read_text() for path in _own_files())

    named = set(re.findall(r"https?://[^/\s\"'`)]+", text)) - {"http://www.w3.org"}  # namespaces

    assert named == set()


def test_the_build_does_not_contain_the_test_variable() -> None:
    (script,) = BUILD_DIR.glob("assets/index-*.js")

    assert "__stepline" not in script.read_text()


def test_the_lock_file_pins_every_package_and_names_no_host() -> None:
    text = (WEB / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]

    assert "://" not in text
    assert all("integrity" in entry for name, entry in packages.items() if name)
    assert "omit-lockfile-registry-resolved=true" in (WEB / ".npmrc").read_text()


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_with_its_background(theme: int) -> None:
    css = (WEB / "src" / "style" / "base.css").read_text()
    colors = {
        name: pair[theme]
        for name, *pair in re.findall(
            r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css
        )
    }
    texts = ("ink", "muted", "accent", "good", "warn", "bad", "train", "eval", "rate", "norm")
    pairs = [(text, background) for text in texts for background in ("bg", "card", "sunk")]
    pairs += [("on-accent", "accent"), ("bad", "bad-soft"), ("ink", "bad-soft"), ("bg", "ink")]

    too_low = {
        pair: round(contrast(colors[pair[0]], colors[pair[1]]), 2)
        for pair in pairs
        if contrast(colors[pair[0]], colors[pair[1]]) < MIN_CONTRAST
    }

    assert too_low == {}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors as WCAG 2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Return a color's relative luminance."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_job_field_has_a_name_in_both_languages(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/unused.db", data_dir=tmp_path)
    schemas = create_app(settings).openapi()["components"]["schemas"]
    text = (WEB / "src" / "texts" / "new" / "fields.ts").read_text()
    named = set(re.findall(r'^  "?([\w.]+)"?: \[', text, re.MULTILINE))

    in_english = set(re.findall(r'^  "?([\w.]+)"?: "', text, re.MULTILINE))

    fields = set(leaves(schemas, schemas["JobSpec"], ""))
    assert named == fields
    assert in_english == fields


def leaves(schemas: Any, schema: Any, prefix: str) -> list[str]:
    """Return the dotted paths of a schema's fields; a dataset counts as one field."""
    found: list[str] = []
    for name, field in schema["properties"].items():
        path = prefix + name
        kinds = [field, *field.get("anyOf", [])]
        inner = [schemas[kind["$ref"].split("/")[-1]] for kind in kinds if "$ref" in kind]
        if inner and path not in {"dataset.train", "dataset.eval"}:
            found += leaves(schemas, inner[0], f"{path}.")
        else:
            found.append(path)
    return found
